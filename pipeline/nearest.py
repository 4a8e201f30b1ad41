"""The search for neighbours as Spark runs it: route, join group by group, merge by query."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, resident, shipping
from pipeline.progress import StageLine
from pipeline.retrieval import join, merge, quantiser, recall, route
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.vectors import Float32

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

# Rows that a task of the merge holds: a row for each group that a query came to.
_MERGED_QUERIES = 100_000
_SECONDS = 0.5


class Counts:
    """What the tasks count; a task that is run again counts again."""

    def __init__(self, context: "SparkContext") -> None:
        self.queries = context.accumulator(0)
        self.travels = context.accumulator(0)
        self.groups = context.accumulator(0)
        self.distances = context.accumulator(0)
        self.bytes = context.accumulator(0)

    def of_run(self, queries: int, vectors: int) -> dict[str, float]:
        """What the run's page shows.

        Args:
            queries: how many items wanted neighbours.
            vectors: how many items they were searched among.
        """
        distances, asked = self.distances.value, max(self.queries.value, 1)
        return {
            "distances": distances,
            "scanned_share": round(distances / max(queries * vectors, 1), 6),
            "groups_a_query": round(self.travels.value / asked, 3),
            "shuffle_bytes": self.bytes.value,
        }


@dataclass(frozen=True)
class Probes:
    """Which lists a query probes: from the `first` nearest up to `last`, not included.

    Attributes:
        centroids: the quantiser's file; None where every list is probed.
        nlist: number of lists.
    """

    centroids: Handle | None
    nlist: int
    first: int
    last: int

    def load(self) -> route.Probe:
        """The function that gives the lists of vectors, on an executor."""
        first, last, every = self.first, self.last, np.arange(self.nlist, dtype=np.int32)
        if self.centroids is None:
            return lambda vectors: np.tile(every[first:last], (len(vectors), 1))
        centroids = load_centroids(self.centroids)
        return lambda vectors: quantiser.probe(vectors, centroids, last)[:, first:]


def load_centroids(handle: Handle) -> Float32:
    """A quantiser's centroids, loaded once a process: float32[nlist, dim]."""
    centroids: Float32 = resident.get(handle.sha256, lambda: np.load(shipping.local_path(handle)))
    return centroids


def searchable(lists: "DataFrame") -> "DataFrame":
    """The lists table with what routing asks for: where not given, all may be shown and ask."""
    from pyspark.sql import functions as F

    defaults = {
        "eligible": F.lit(True),
        "query": F.lit(True),
        "same": F.lit(None).cast("string"),
    }
    return lists.select(
        "item_id",
        "list",
        "vector",
        F.xxhash64("vector").alias("hash"),
        *[
            F.col(name) if name in lists.columns else value.alias(name)
            for name, value in defaults.items()
        ],
    )


def search(
    lists: "DataFrame", probes: Probes, plan: Plan, k: int, partitions: int, counts: Counts
) -> "DataFrame":
    """What the groups found for each query: rows of join.RESULT.

    Args:
        lists: the lists table, and if there are such rules the columns eligible boolean, query
            boolean and same string.
        probes: which lists are searched for a query.
        plan: the groups of the lists.
        k: neighbours an item.
        partitions: tasks of the join.
        counts: of what is done.
    """
    from pyspark.sql import functions as F

    routed = searchable(lists).mapInArrow(_route(plan, probes, counts), route.ROUTED_DDL)
    group = F.shiftright("key", route.GROUP_SHIFT).cast("int")
    return (
        routed.repartitionById(partitions, group)
        .sortWithinPartitions("key")
        .mapInArrow(_join(k, counts), join.RESULT_DDL)
    )


def _route(plan: Plan, probes: Probes, counts: Counts) -> Any:  # noqa: ANN401 - for mapInArrow
    queries, travels, total = counts.queries, counts.travels, counts.bytes

    def count(asked: int, sent: int, size: int) -> None:
        queries.add(asked)
        travels.add(sent)
        total.add(size)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return route.route(batches, plan, probes.load(), count)

    return run


def _join(k: int, counts: Counts) -> Any:  # noqa: ANN401 - for mapInArrow
    groups, distances, total = counts.groups, counts.distances, counts.bytes

    def done(scored: int) -> None:
        groups.add(1)
        distances.add(scored)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        for batch in join.join(batches, k, done):
            total.add(batch.nbytes)
            yield batch

    return run


def merged(found: "DataFrame", k: int, queries: int, cores: int) -> "DataFrame":
    """The neighbors table of what was found: the k best of each query.

    Args:
        found: rows of join.RESULT.
        k: neighbours an item.
        queries: about how many there are.
        cores: that should be busy.
    """

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return merge.merge(batches, k)

    partitions = max(cores, -(-queries * k // (_MERGED_QUERIES * 10)))
    return found.repartition(partitions, "item_id").mapInArrow(run, merge.NEIGHBORS_DDL)


def as_found(neighbors: "DataFrame") -> "DataFrame":
    """A neighbors table as rows of join.RESULT, to be merged with what more probes find."""
    from pyspark.sql import functions as F

    candidates = F.transform(
        "neighbors",
        lambda n: F.struct((-n["score"]).alias("key"), n["similar_id"].alias("similar_id")),
    )
    return neighbors.select("item_id", candidates.alias("candidates"))


def exact(
    lists: "DataFrame", ids: list[str], vectors: Float32, same: list[str | None], k: int
) -> "DataFrame":
    """The neighbors table of a few queries by comparing them with every item.

    Args:
        lists: as for `search`.
        ids: the queries' ids.
        vectors: float32[n, dim].
        same: what an item's `same` has to be.
        k: neighbours an item.
    """

    def scan(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return recall.exact_search(batches, ids, vectors, same, k)

    items = searchable(lists).where("eligible").select("item_id", "vector", "same")
    return merged(items.mapInArrow(scan, join.RESULT_DDL), k, len(ids), 1)


@contextmanager
def shown(line: StageLine, counts: Counts, groups: int) -> Iterator[None]:
    """While the join runs, its line says how many groups are done, how fast, and what is left."""
    stop = threading.Event()
    start = time.monotonic()

    def watch() -> None:
        while not stop.wait(_SECONDS):
            line.note = _progress(counts, groups, time.monotonic() - start)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        line.note = ""


def _progress(counts: Counts, groups: int, seconds: float) -> str:
    done, distances = counts.groups.value, counts.distances.value
    if not done:
        return ""
    left = seconds * (groups - done) / done
    return f"{done}/{groups} groups  {distances / seconds:.3g} pairs/s  {left:.0f} s left"
