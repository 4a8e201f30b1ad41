"""What a search for neighbours works with: the lists, who asks, and the groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models import Handle
from pipeline.retrieval import groups, recall
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32
from pipeline.stages.context import Job
from pipeline.stages.index import lists
from pipeline.stages.neighbors import query_items, rules
from pipeline.stages.neighbors.search import ListSearch, SearchCounts, plan_merge
from pipeline.storage.paths import StoragePath, load_array
from pipeline.store.clustered import ClusteredTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Candidates of a query that a group looks at, for each that is kept, where there are caps.
DEPTH = 4


@dataclass
class SearchContext:
    """What the stage works with.

    Attributes:
        lists: the lists table; where there are rules the candidates table.
        asked: the items that want neighbours; None for all.
        queries: the rows of the lists table that do.
        count: how many those are.
        centroids: the quantiser's file; None where every list is searched.
        search: the groups and tasks.
    """

    job: Job
    lists: "DataFrame"
    asked: "DataFrame | None"
    queries: "DataFrame"
    count: int
    centroids: Handle | None
    search: ListSearch

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self.job.record("index").outputs["lists"])

    def met(self, measured: recall.Recall) -> bool:
        """Whether a recall is the one that is wanted."""
        wanted = self.job.config.neighbors.target_recall
        return measured.value >= wanted or not measured.queries


def build_search_context(job: Job, version: str) -> SearchContext:
    """What tonight's search works with.

    Args:
        job: the run.
        version: of the candidates table, which is written where there are rules.
    """
    index, section = job.record("index"), job.config.neighbors
    everything, items = _candidates(job, version)
    asked = query_items.select_query_items(job)
    asks = everything.where("asks is null or asks") if job.config.rules.query else everything
    if asked is not None:
        asks = asks.join(asked.select("item_id"), "item_id", how="left_semi")
    centroids, context = None, job.spark.sparkContext
    if not index.outputs["exact"]:
        centroids = job.ship(_quantiser(job), "quantiser")
    cores, kept = context.defaultParallelism, section.k + section.reserve
    sizes = rows_per_list(job, everything)
    queries = sizes if asks is everything else rows_per_list(job, asks)
    pairs = rules.pair_rules(job.config.rules)
    depth = kept * DEPTH if pairs.caps else kept
    plan = groups.plan_by_work(
        sizes, cores, groups.max_items_per_group(section.worker_mb, index.outputs["dim"])
    )
    search = ListSearch(
        items=items,
        plan=plan,
        parts=plan_merge(queries, depth, cores),
        k=kept,
        depth=depth,
        rules=pairs,
        partitions=section.partitions or plan.groups,
        everyone=asked is None,
        counts=SearchCounts(context),
    )
    return SearchContext(job, everything, asked, asks, int(queries.sum()), centroids, search)


def _candidates(job: Job, version: str) -> tuple["DataFrame", ClusteredTable]:
    """The rows to search, and the files that they are in."""
    index, store = job.record("index"), job.store
    everything = job.read("lists", "index")
    listed = store.open_clustered("lists", index.fingerprint)
    if not rules.has_rules(job.config.rules):
        return everything, listed
    job.line.note = "reading what the rules ask for"
    # Nobody may collect it while it is read.
    job.used.add(version)
    job.announce()
    traits = rules.item_traits(job).join(
        everything.select("item_id", "list"), "item_id", how="inner"
    )
    # As large as those of the lists table.
    files = groups.plan_by_rows(
        np.maximum(rows_per_list(job, everything), 1), max(1, len(listed.files))
    )
    store.write_arrow("candidates", version, lists.lists_with_traits(listed, traits, files))
    job.line.note = ""
    return store.read(job.spark, "candidates", version), store.open_clustered("candidates", version)


def _quantiser(job: Job) -> StoragePath:
    return job.store.quantiser_path(job.record("index").outputs["quantiser"])


def read_centroids(job: Job) -> Float32:
    """The quantiser's centroids: float32[nlist, dim]."""
    centroids: Float32 = load_array(_quantiser(job))
    return centroids


def rows_per_list(job: Job, rows: "DataFrame") -> Int64:
    """How many of these rows each list has: int64[nlist]."""
    sizes = np.zeros(job.record("index").outputs["lists"], dtype=np.int64)
    # One row a list: a thousandth of the items or less.
    for row in rows.groupBy("list").count().collect():
        sizes[row["list"]] = row["count"]
    return sizes
