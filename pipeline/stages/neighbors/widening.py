"""Search again for incomplete lists: with more candidates under caps, in more lists if short."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search import ProbedLists, plan_merge
from pipeline.stages.neighbors.search_context import SearchContext, rows_per_list
from pipeline.store.arrow_files import Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# If caps leave too few candidates, this many times as many are looked at, until all are.
DEPTH_FACTOR = 8
# For an item with fewer than k neighbours this many times as many lists are probed, up to
# MAX_WIDENINGS times.
NPROBE_FACTOR, MAX_WIDENINGS = 4, 2
# A row of the neighbors table that may lack neighbours because of the caps.
_OPEN = "probes is null"


def complete_lists(context: SearchContext, version: str, nprobe: int) -> str:
    """Search again for incomplete lists; return the completed table's version.

    Args:
        context: what the search works with.
        version: of the neighbors table: a trial, which is discarded if a new one is written.
        nprobe: how many lists were probed.
    """
    k, max_probes = context.job.config.neighbors.k, context.job.config.neighbors.max_probes
    for width in probe_widths(nprobe, max_probes, context.nlist):
        if width > nprobe:
            is_short = f"probes < {width} and size(neighbors) < {k}"
            version = _search_again(context, version, is_short, context.probed(width))
        if context.search.rules.caps:
            version = _deepen(context, version, context.probed(width))
    return version


def _deepen(context: SearchContext, version: str, probed: ProbedLists) -> str:
    """Look at more and more candidates, until the caps leave enough or no more are left."""
    previous = ""
    while previous != version:
        depth = context.search.depth * DEPTH_FACTOR
        context = replace(context, search=replace(context.search, depth=depth))
        previous, version = version, _search_again(context, version, _OPEN, probed)
    return version


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


def _search_again(context: SearchContext, version: str, condition: str, probed: ProbedLists) -> str:
    """Search again for the items of some rows; the version is unchanged if there are none.

    Args:
        context: what the search works with.
        version: of the neighbors table.
        condition: on its rows, in SQL; it is never null.
        probed: the lists that are probed.
    """
    from pyspark import StorageLevel

    job, search = context.job, replace(context.search, all_are_queries=False)
    table = job.store.read(job.spark, "neighbors", version)
    incomplete = table.where(condition)
    can_gain = incomplete if condition == _OPEN else _can_gain(context, incomplete)
    ids = can_gain.select("item_id").persist(StorageLevel.DISK_ONLY)
    try:
        if not ids.count():
            return version
        job.line.note = "searching on for lists that are short"
        queries = context.queries.join(ids, "item_id", how="left_semi")
        sizes, cores = rows_per_list(job, incomplete), job.spark.sparkContext.defaultParallelism
        search = replace(search, parts=plan_merge(sizes, search.depth, cores))
        neighbors = search.merge(search.find_candidates(queries, probed), probed)
        # The other rows keep their order and are not shuffled.
        complete = table.where(f"not ({condition})")
        rest = incomplete.join(ids, "item_id", how="left_anti").select(*table.columns)
        trial = job.store.trial_version(version.partition("-")[0])
        parts = (Rows(complete, iter), Rows(rest, iter), neighbors)
        job.store.write_arrow("neighbors", trial, *parts)
    finally:
        ids.unpersist()
        job.line.note = ""
    job.store.discard_version("neighbors", version)
    return trial


def _can_gain(context: SearchContext, short: "DataFrame") -> "DataFrame":
    """The rows of short lists for which the catalogue has more possible neighbours."""
    from pyspark.sql import functions as F

    size = F.size("neighbors")
    if not rules.has_rules(context.job.config.rules):
        others = context.job.record("index").outputs["vectors"] - 1
        return short.where(size < F.lit(others))
    possible = rules.possible_neighbors(context.lists, short.select("item_id"))
    return short.join(possible, "item_id", how="inner").where(size < F.col("possible"))
