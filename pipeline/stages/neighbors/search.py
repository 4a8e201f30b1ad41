"""The search for neighbours as Spark runs it: route, join group by group, merge by query."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle
from pipeline.retrieval import (
    join,
    list_table,
    loaded_group,
    merge,
    packed_batches,
    quantiser,
    routing,
)
from pipeline.retrieval.groups import GroupPlan, plan_by_rows
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules
from pipeline.retrieval.vectors import from_bytes
from pipeline.stages.index.lists import load_centroids, shuffle_by_group
from pipeline.storage.clustered_tables import TRAITS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

# What the join reads of an item; the last are there where there are rules.
ITEM_COLUMNS = ("item_id", "list", "probes", "vector", *TRAITS.names)
# Candidates that a task of the merge holds for each group that a query came to.
_MERGED_CANDIDATES = 1_000_000


class SearchCounts:
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
class ProbedLists:
    """Which lists a query probes: so many of the nearest.

    Attributes:
        centroids: the quantiser's file; None where every list is probed.
        nlist: number of lists.
        width: how many are probed.
    """

    centroids: Handle | None
    nlist: int
    width: int

    def load(self) -> routing.ProbeLists:
        """The function that gives the lists of queries, on an executor."""
        width, every = self.width, np.arange(self.nlist, dtype=np.int32)
        handle = self.centroids
        if handle is None:
            return lambda rows: np.tile(every[:width], (rows.num_rows, 1))

        def probe(rows: "pa.RecordBatch") -> "np.ndarray":
            known = list_table.decode_probes(rows["probes"])
            if known.shape[1] < width:
                known = quantiser.probe(from_bytes(rows["vector"]), load_centroids(handle), width)
            return known[:, :width]

        return probe


@dataclass(frozen=True)
class ListSearch:
    """One search of the lists.

    Attributes:
        items: the files of the lists table.
        plan: the groups of the lists.
        parts: the groups that candidates are merged in, by a query's own list.
        k: neighbours an item.
        depth: candidates of a query that a group looks at; as many as k where there are no caps.
        rules: what holds for pairs.
        partitions: tasks of the join.
        everyone: whether every item asks.
        counts: of what is done.
    """

    items: ClusteredTable
    plan: GroupPlan
    parts: GroupPlan
    k: int
    depth: int
    rules: Rules
    partitions: int
    everyone: bool
    counts: SearchCounts

    def found(self, queries: "DataFrame", probes: ProbedLists) -> "DataFrame":
        """What the groups found for each query: parcels of join.FOUND by part.

        Args:
            queries: rows of the lists table, and if there are rules the columns of TRAITS.
            probes: which lists are searched for a query.
        """
        from pyspark.sql import functions as F

        routed = queries.withColumn("hash", F.xxhash64("vector"))
        routed = routed.mapInArrow(_route(self, probes), schemas.ddl(packed_batches.SCHEMA))
        sent = shuffle_by_group(routed, self.plan.groups, self.partitions)
        return sent.mapInArrow(_join(self, probes), schemas.ddl(packed_batches.SCHEMA))

    def routes(self, probes: ProbedLists) -> routing.Router:
        """Where queries go, on an executor."""
        return routing.Router(self.plan, probes.load(), probes.width, self.parts, self.everyone)

    def merged(self, found: "DataFrame", probes: ProbedLists) -> Rows:
        """The neighbors table of what was found: the k best of each query."""
        from pyspark.sql import functions as F

        wanted = merge.MergeSettings(self.k, probes.width, self.rules)

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            return merge.merge(batches, wanted)

        by_part = found.repartitionById(self.parts.groups, F.col("key").cast("int"))
        return Rows(by_part, run)


def plan_merge(sizes: Int64, k: int, cores: int) -> GroupPlan:
    """The tasks that the candidates of queries are merged in, by the queries' own lists.

    Args:
        sizes: int64[nlist], queries of each list.
        k: neighbours a query.
        cores: tasks at a time.
    """
    return plan_by_rows(sizes, max(cores, -(-int(sizes.sum()) * k // _MERGED_CANDIDATES)))


def _route(search: ListSearch, probes: ProbedLists) -> Any:  # noqa: ANN401 - for mapInArrow
    queries, travels, total = search.counts.queries, search.counts.travels, search.counts.bytes

    def count(asked: int, sent: int, size: int) -> None:
        queries.add(asked)
        travels.add(sent)
        total.add(size)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return search.routes(probes).send(batches, count)

    return run


def _join(search: ListSearch, probes: ProbedLists) -> Any:  # noqa: ANN401 - for mapInArrow
    counts, plan, k, rules = search.counts, search.plan, search.depth, search.rules

    def rows(group: int) -> "Iterator[pa.RecordBatch]":
        return search.items.rows(*plan.lists(group), ITEM_COLUMNS)

    def items(group: int) -> "Iterator[pa.RecordBatch]":
        return loaded_group.items_of_group(rows(group), plan, group, k)

    def count(_asked: int, stayed: int, _size: int) -> None:
        counts.travels.add(stayed)

    def done(scored: int) -> None:
        counts.groups.add(1)
        counts.distances.add(scored)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        routes = search.routes(probes)

        def at_home(group: int) -> "Iterator[pa.RecordBatch]":
            if search.everyone:
                yield from routes.of_group(rows(group), group, count)

        for batch in join.join(batches, items, at_home, k, rules, done):
            counts.bytes.add(batch.nbytes)
            yield batch

    return run
