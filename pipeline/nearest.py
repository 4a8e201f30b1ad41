"""The search for neighbours as Spark runs it: route, join group by group, merge by query."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, resident, shipping
from pipeline.retrieval import join, merge, parcels, quantiser, route
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.vectors import Float32

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext
    from pyspark.sql import Column, DataFrame

# Candidates that a task of the merge holds for each group that a query came to.
_MERGED_CANDIDATES = 1_000_000


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

    def progress(self, groups: int, seconds: float) -> str:
        """How many of so many groups are done, how fast, and what is left, after these seconds."""
        done, distances = self.groups.value, self.distances.value
        if not done:
            return ""
        left = seconds * (groups - done) / done
        return f"{done}/{groups} groups  {distances / seconds:.3g} pairs/s  {left:.0f} s left"


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
    centroids: Float32 = resident.get(handle.key, lambda: np.load(shipping.local_path(handle)))
    return centroids


@dataclass(frozen=True)
class Search:
    """One search of the lists.

    Attributes:
        plan: the groups of the lists.
        k: neighbours an item.
        partitions: tasks of the join.
        parts: tasks of the merge.
        counts: of what is done.
    """

    plan: Plan
    k: int
    partitions: int
    parts: int
    counts: Counts

    def found(self, lists: "DataFrame", probes: Probes) -> "DataFrame":
        """What the groups found for each query: parcels of join.FOUND by part.

        Args:
            lists: the lists table, and if there are such rules the columns eligible boolean, query
                boolean and same string.
            probes: which lists are searched for a query.
        """
        from pyspark.sql import functions as F

        columns = searchable(lists).withColumns(
            {"hash": F.xxhash64("vector"), "part": _part(self.parts)}
        )
        return (
            columns.mapInArrow(_route(self.plan, probes, self.k, self.counts), parcels.DDL)
            .repartitionById(self.partitions, F.shiftright("key", 1).cast("int"))
            .sortWithinPartitions("key")
            .mapInArrow(_join(self.k, self.counts), parcels.DDL)
        )

    def merged(self, found: "DataFrame") -> "DataFrame":
        """The neighbors table of what was found: the k best of each query."""
        from pyspark.sql import functions as F

        k = self.k

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            return merge.merge(batches, k)

        by_part = found.repartitionById(self.parts, F.col("key").cast("int"))
        return by_part.mapInArrow(run, merge.NEIGHBORS_DDL)

    def as_found(self, neighbors: "DataFrame") -> "DataFrame":
        """A neighbors table as parcels, to be merged with what more probes find."""
        columns = ("item_id", "neighbors.similar_id as similar_ids", "neighbors.score as scores")
        found = neighbors.selectExpr(*columns).withColumn("part", _part(self.parts))
        return found.mapInArrow(join.as_parcels, parcels.DDL)


def searchable(lists: "DataFrame") -> "DataFrame":
    """The lists table with what a search asks for: where not given, all may be shown and ask."""
    from pyspark.sql import functions as F

    defaults = {
        "eligible": F.lit(True),
        "query": F.lit(True),
        "same": F.lit(None).cast("string"),
    }
    given = [
        F.col(name) if name in lists.columns else value.alias(name)
        for name, value in defaults.items()
    ]
    return lists.select("item_id", "list", "vector", *given)


def merge_parts(queries: int, k: int, cores: int) -> int:
    """In how many tasks the candidates of so many queries are merged."""
    return max(cores, -(-queries * k // _MERGED_CANDIDATES))


def _part(parts: int) -> "Column":
    from pyspark.sql import functions as F

    return F.pmod(F.xxhash64("item_id"), F.lit(parts)).cast("int")


def _route(plan: Plan, probes: Probes, k: int, counts: Counts) -> Any:  # noqa: ANN401 - for mapInArrow
    queries, travels, total = counts.queries, counts.travels, counts.bytes

    def count(asked: int, sent: int, size: int) -> None:
        queries.add(asked)
        travels.add(sent)
        total.add(size)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return route.route(batches, plan, probes.load(), probes.last - probes.first, k, count)

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
