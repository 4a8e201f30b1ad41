"""What is looked for again: lists that caps have left open, and lists that are short."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search import ProbedLists, plan_merge
from pipeline.stages.neighbors.search_context import SearchContext, rows_per_list
from pipeline.store.arrow_files import Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# So many times as many candidates are looked at where caps leave too few, until all are.
DEEPER = 8
# So many times as many lists are probed for an item that is short, so often.
WIDER, ROUNDS = 4, 2
_OPEN = "probes is null"


def complete_lists(night: SearchContext, version: str, nprobe: int) -> str:
    """Complete a neighbors table: where it is not what its rules and probes say, and short lists.

    Args:
        night: what the search works with.
        version: of the table: a trial, which is discarded if there is another.
        nprobe: how many lists were searched.

    Returns:
        the version of the whole table.
    """
    k, most = night.job.config.neighbors.k, night.job.config.neighbors.max_probes
    for width in probe_widths(nprobe, most, night.nlist):
        if width > nprobe:
            short = f"probes < {width} and size(neighbors) < {k}"
            version = _again(
                night, version, short, ProbedLists(night.centroids, night.nlist, width)
            )
        if night.search.rules.caps:
            version = _deeper(night, version, ProbedLists(night.centroids, night.nlist, width))
    return version


def _deeper(night: SearchContext, version: str, probes: ProbedLists) -> str:
    """Look at more and more candidates, until the caps leave enough, or none is left."""
    deeper, done = night, ""
    while done != version:
        depth = deeper.search.depth * DEEPER
        deeper = replace(deeper, search=replace(deeper.search, depth=depth))
        done, version = version, _again(deeper, version, _OPEN, probes)
    return version


def probe_widths(nprobe: int, most: int, nlist: int) -> Iterator[int]:
    """How many lists are searched: at first, and then for items that are short.

    Args:
        nprobe: at first.
        most: the setting max_probes.
        nlist: how many there are.
    """
    yield nprobe
    width, most = nprobe, min(most or nprobe * WIDER**ROUNDS, nlist)
    while width < most:
        width = min(width * WIDER, most)
        yield width


def _again(night: SearchContext, version: str, which: str, probes: ProbedLists) -> str:
    """Search again for the items of some rows; the version is the same if there are none.

    Args:
        night: what the search works with.
        version: of the neighbors table.
        which: a condition on its rows, which is never null.
        probes: the lists that are searched.
    """
    from pyspark import StorageLevel

    job, search = night.job, replace(night.search, everyone=False)
    table = job.store.read(job.spark, "neighbors", version)
    some = table.where(which)
    hopeful = some if which == _OPEN else _hopeful(night, some)
    asking = hopeful.select("item_id").persist(StorageLevel.DISK_ONLY)
    try:
        if not asking.count():
            return version
        job.line.note = "searching on for lists that are short"
        queries = night.queries.join(asking, "item_id", how="left_semi")
        sizes, cores = rows_per_list(job, some), job.spark.sparkContext.defaultParallelism
        search = replace(search, parts=plan_merge(sizes, search.depth, cores))
        found = search.merged(search.found(queries, probes), probes)
        # The others keep their order, and do not travel.
        stays = table.where(f"not ({which})")
        rest = some.join(asking, "item_id", how="left_anti").select(*table.columns)
        trial = job.store.trial_version(version.partition("-")[0])
        parts = (Rows(stays, iter), Rows(rest, iter), found)
        job.store.write_arrow("neighbors", trial, *parts)
    finally:
        asking.unpersist()
        job.line.note = ""
    job.store.discard_version("neighbors", version)
    return trial


def _hopeful(night: SearchContext, short: "DataFrame") -> "DataFrame":
    """The rows of short lists that more candidates could be found for."""
    from pyspark.sql import functions as F

    had = F.size("neighbors")
    if not rules.has_rules(night.job.config.rules):
        others = night.job.record("index").outputs["vectors"] - 1
        return short.where(had < F.lit(others))
    possible = rules.possible_neighbors(night.lists, short.select("item_id"))
    return short.join(possible, "item_id", how="inner").where(had < F.col("possible"))
