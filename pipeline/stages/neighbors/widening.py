"""Search again for incomplete lists: with more candidates under caps, in more lists if short."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search import ProbedLists
from pipeline.stages.neighbors.search_context import SearchContext, rows_per_list
from pipeline.store.arrow_files import Count, Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# If caps leave too few candidates, this many times as many are looked at, until all are.
DEPTH_FACTOR = 8
# For an item with fewer than k neighbours this many times as many lists are probed, up to
# MAX_WIDENINGS times.
NPROBE_FACTOR, MAX_WIDENINGS = 4, 2
# What `counter` counts: the rows with fewer than k neighbours, and those of _OPEN.
_SHORT_COUNT, _OPEN_COUNT = "short", "open"
_REMOVALS_PER_FILE = 2_000_000
# A row of the neighbors table that may lack neighbours because of the caps.
_OPEN = "probes is null"


def counter(k: int) -> Count:
    """Counts the rows of the neighbors table that `complete_lists` may have to search for again."""

    def count(rows: pa.Table) -> dict[str, int]:
        is_short = pc.less(pc.list_value_length(rows["neighbors"]), k)
        masks = {_SHORT_COUNT: is_short, _OPEN_COUNT: rows["probes"].is_null()}
        return {name: pc.sum(mask).as_py() or 0 for name, mask in masks.items()}

    return count


def complete_lists(
    context: SearchContext, trial: str, nprobe: int, counts: Mapping[str, int]
) -> bool:
    """Search again for incomplete lists; the completed rows become layers of the table.

    Args:
        context: what the search works with.
        trial: the trial version of the neighbors table.
        nprobe: how many lists were probed.
        counts: the sums of `counter` over the rows of the table.

    Returns:
        whether there were any.
    """
    max_probes = context.job.config.neighbors.max_probes
    has_short, has_open = (bool(counts.get(name)) for name in (_SHORT_COUNT, _OPEN_COUNT))
    if not has_short and not has_open:
        return False
    for width in probe_widths(nprobe, max_probes, context.nlist):
        probed = context.probed(width)
        if width > nprobe:
            # No list gets short by a search that goes on: only one that was so at first is now.
            if not has_short:
                break
            short = context.short_rows(trial).where(f"probes < {width}")
            has_open = _search_again(context, trial, _can_gain(context, short), probed)
        _deepen(context, trial, probed, has_open=has_open)
    return True


def _deepen(context: SearchContext, trial: str, probed: ProbedLists, *, has_open: bool) -> None:
    """Look at more and more candidates, until the caps leave enough or no more are left."""
    while has_open:
        depth = context.search.depth * DEPTH_FACTOR
        context = replace(context, search=replace(context.search, depth=depth))
        neighbors = context.job.store.read(context.job.spark, "neighbors", trial)
        has_open = _search_again(context, trial, neighbors.where(_OPEN), probed)


def probe_widths(nprobe: int, max_probes: int, nlist: int) -> Iterator[int]:
    """How many lists are probed: first by all queries, then by those with short lists.

    Args:
        nprobe: at first.
        max_probes: the setting neighbors.max_probes; 0 for nprobe * NPROBE_FACTOR**MAX_WIDENINGS.
        nlist: how many lists there are.
    """
    yield nprobe
    width, max_probes = nprobe, min(max_probes or nprobe * NPROBE_FACTOR**MAX_WIDENINGS, nlist)
    while width < max_probes:
        width = min(width * NPROBE_FACTOR, max_probes)
        yield width


def _search_again(
    context: SearchContext, trial: str, incomplete: "DataFrame", probed: ProbedLists
) -> bool:
    """Search again for the items of some rows; their new rows become a layer of the table.

    Args:
        context: what the search works with.
        trial: the trial version of the neighbors table.
        incomplete: rows of that table: item_id, list.
        probed: the lists that are probed.

    Returns:
        whether some of them may lack neighbours because of the caps all the same.
    """
    from pyspark import StorageLevel

    job, search = context.job, replace(context.search, all_are_queries=False)
    ids = incomplete.select("item_id", "list").persist(StorageLevel.DISK_ONLY)
    try:
        sizes = rows_per_list(job, ids)
        count = int(sizes.sum())
        if not count:
            return False
        job.line.note = "searching on for lists that are short"
        queries = context.queries.join(ids.select("item_id"), "item_id", how="left_semi")
        search = replace(search, query_sizes=sizes)
        neighbors = search.merge(search.find_candidates(Rows(queries, iter), probed), probed)
        outdated = ids.coalesce(-(-count // _REMOVALS_PER_FILE)).sortWithinPartitions("list")
        written = job.store.extend(
            "neighbors", trial, neighbors, Rows(outdated, iter), counter(job.config.neighbors.k)
        )
    finally:
        ids.unpersist()
        job.line.note = ""
    return bool(written.sums[_OPEN_COUNT])


def _can_gain(context: SearchContext, short: "DataFrame") -> "DataFrame":
    """The short rows for which the catalogue has more possible neighbours."""
    from pyspark.sql import functions as F

    size = F.col("neighbors")
    if not rules.has_rules(context.job.config):
        others = context.job.record("index").outputs["vectors"] - 1
        return short.where(size < F.lit(others))
    possible = rules.possible_neighbors(context.lists, short.select("item_id"))
    return short.join(possible, "item_id", how="inner").where(size < F.col("possible"))
