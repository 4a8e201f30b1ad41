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
from pipeline.stages.neighbors.search import Counts, Search, merge_parts
from pipeline.storage.place import Place, load_array
from pipeline.store.clustered import Clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Candidates of a query that a group looks at, for each that is kept, where there are caps.
DEPTH = 4


@dataclass
class Night:
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
    search: Search

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self.job.record("index").outputs["lists"])

    def met(self, measured: recall.Recall) -> bool:
        """Whether a recall is the one that is wanted."""
        wanted = self.job.config.neighbors.target_recall
        return measured.value >= wanted or not measured.queries


def tonight(job: Job, version: str) -> Night:
    """What tonight's search works with.

    Args:
        job: the run.
        version: of the candidates table, which is written where there are rules.
    """
    index, section = job.record("index"), job.config.neighbors
    everything, items = _candidates(job, version)
    asked = query_items.asked(job)
    asks = everything.where("asks is null or asks") if job.config.rules.query else everything
    if asked is not None:
        asks = asks.join(asked.select("item_id"), "item_id", how="left_semi")
    centroids, context = None, job.spark.sparkContext
    if not index.outputs["exact"]:
        centroids = job.ship(_quantiser(job), "quantiser")
    cores, kept = context.defaultParallelism, section.k + section.reserve
    sizes = sizes_of(job, everything)
    queries = sizes if asks is everything else sizes_of(job, asks)
    pairs = rules.of(job.config.rules)
    depth = kept * DEPTH if pairs.caps else kept
    plan = groups.plan(sizes, cores, groups.most_items(section.worker_mb, index.outputs["dim"]))
    search = Search(
        items=items,
        plan=plan,
        parts=merge_parts(queries, depth, cores),
        k=kept,
        depth=depth,
        rules=pairs,
        partitions=section.partitions or plan.groups,
        everyone=asked is None,
        counts=Counts(context),
    )
    return Night(job, everything, asked, asks, int(queries.sum()), centroids, search)


def _candidates(job: Job, version: str) -> tuple["DataFrame", Clustered]:
    """The rows to search, and the files that they are in."""
    index, store = job.record("index"), job.store
    everything = job.read("lists", "index")
    listed = store.clustered("lists", index.fingerprint)
    if not rules.given(job.config.rules):
        return everything, listed
    job.line.note = "reading what the rules ask for"
    # Nobody may collect it while it is read.
    job.used.add(version)
    job.announce()
    traits = rules.traits(job).join(everything.select("item_id", "list"), "item_id", how="inner")
    # As large as those of the lists table.
    files = groups.pieces(np.maximum(sizes_of(job, everything), 1), max(1, len(listed.files)))
    store.write_arrow("candidates", version, lists.ruled(listed, traits, files))
    job.line.note = ""
    return store.read(job.spark, "candidates", version), store.clustered("candidates", version)


def _quantiser(job: Job) -> Place:
    return job.store.quantiser_path(job.record("index").outputs["quantiser"])


def centroids_of(job: Job) -> Float32:
    """The quantiser's centroids: float32[nlist, dim]."""
    centroids: Float32 = load_array(_quantiser(job))
    return centroids


def sizes_of(job: Job, rows: "DataFrame") -> Int64:
    """How many of these rows each list has: int64[nlist]."""
    sizes = np.zeros(job.record("index").outputs["lists"], dtype=np.int64)
    # One row a list: a thousandth of the items or less.
    for row in rows.groupBy("list").count().collect():
        sizes[row["list"]] = row["count"]
    return sizes
