"""The search for neighbours as Spark runs it: route queries, join group by group, merge."""

from collections.abc import Iterator, Sequence
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
    routing,
)
from pipeline.retrieval.groups import GroupPlan, plan_by_rows
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules
from pipeline.retrieval.vectors import from_bytes
from pipeline.stages.index.lists import load_quantiser, shuffle_by_group
from pipeline.storage.list_schemas import TRAITS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable
from pipeline.store.scan import rows_of_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, SparkSession

# What the join reads of an item; traits are there only if there are rules.
ITEM_COLUMNS = ("item_id", "list", "probes", "vector", *TRAITS.names)
# Candidates in a task of the merge, about. With ids of 40 bytes they take half a gigabyte while
# they are sorted.
_CANDIDATES_PER_MERGE = 3_000_000
# The lists that a query probes are among about so many times as many lists next to its own.
_WINDOW = 8


class SearchCounts:
    """What the tasks count, in Spark's accumulators; a repeated task counts again."""

    def __init__(self, context: "SparkContext") -> None:
        self.queries = context.accumulator(0)
        # A query has one copy in each group that it is searched in.
        self.copies = context.accumulator(0)
        self.groups = context.accumulator(0)
        self.distances = context.accumulator(0)
        self.bytes = context.accumulator(0)

    def run_counts(self, queries: int, vectors: int) -> dict[str, float]:
        """What run.json and the run's page show.

        Args:
            queries: how many items are queries.
            vectors: how many items they were searched among.
        """
        distances, routed = self.distances.value, max(self.queries.value, 1)
        return {
            "distances": distances,
            "scanned_share": round(distances / max(queries * vectors, 1), 6),
            "groups_a_query": round(self.copies.value / routed, 3),
            "shuffle_bytes": self.bytes.value,
        }

    def progress_note(self, group_count: int, seconds: float) -> str:
        """How many groups are done, how fast, and the time left, after some seconds."""
        done, distances = self.groups.value, self.distances.value
        if not done:
            return ""
        left = seconds * (group_count - done) / done
        return f"{done}/{group_count} groups  {distances / seconds:.3g} pairs/s  {left:.0f} s left"


@dataclass(frozen=True)
class ProbedLists:
    """Which lists a query probes: its nprobe nearest.

    Attributes:
        centroids: the quantiser's file; None if every list is probed.
        nlist: number of lists.
        nprobe: how many lists are probed.
    """

    centroids: Handle | None
    nlist: int
    nprobe: int

    def load(self) -> routing.ProbeLists:
        """The function that gives the lists of queries; called on an executor."""
        nprobe, all_lists = self.nprobe, np.arange(self.nlist, dtype=np.int32)
        handle = self.centroids
        if handle is None:
            return lambda rows: np.tile(all_lists[:nprobe], (rows.num_rows, 1))

        def probe(rows: "pa.RecordBatch") -> "np.ndarray":
            probes = list_table.decode_probes(rows["probes"])
            if probes.shape[1] < nprobe:
                vectors = from_bytes(rows["vector"])
                probes = load_quantiser(handle).probe(vectors, nprobe)
            return probes[:, :nprobe]

        return probe


@dataclass(frozen=True)
class ListSearch:
    """A search of the lists.

    Attributes:
        items: the files of the lists table, or of the candidates table.
        plan: the groups of lists.
        query_sizes: int64[nlist], the queries of each list.
        k: neighbours an item.
        depth: candidates that a group has for a query, at most; equal to k if there are no caps.
        rules: the rules on pairs.
        partitions: tasks of the join.
        cores: tasks at a time.
        all_are_queries: whether every item is a query; then a group reads its own items as
            queries, and they are not sent to it.
        counts: what the tasks count.
    """

    items: ClusteredTable
    plan: GroupPlan
    query_sizes: Int64
    k: int
    depth: int
    rules: Rules
    partitions: int
    cores: int
    all_are_queries: bool
    counts: SearchCounts

    def scan(self, spark: "SparkSession", columns: Sequence[str], tasks: int | None = None) -> Rows:
        """The rows of `items`, read group by group, in the order of the lists.

        Args:
            spark: the session.
            columns: columns to read, if the files have them.
            tasks: how many tasks read them; one for each group by default.
        """
        items, plan = self.items, self.plan

        def read(group: int) -> "Iterator[pa.RecordBatch]":
            for rows in items.rows(*plan.list_range(group), columns):
                yield loaded_group.rows_in_group(rows, plan, group)

        return rows_of_tasks(spark, plan.group_count, read, tasks)

    def find_candidates(self, queries: Rows, probed: ProbedLists) -> "DataFrame":
        """The candidates of each group for each query: packed GROUP_CANDIDATES, by part.

        Args:
            queries: rows of the lists table, and if there are rules the columns of TRAITS.
            probed: which lists are searched for a query.
        """
        ddl = schemas.ddl(packed_batches.SCHEMA)
        routing = queries.map(_route(self, probed))
        routed = routing.frame.mapInArrow(routing.run, ddl)
        sent = shuffle_by_group(routed, self.plan.group_count, self.partitions)
        return sent.mapInArrow(_join(self, probed), ddl)

    def router(self, probed: ProbedLists) -> routing.Router:
        """Where queries go; called on an executor."""
        return routing.Router(
            self.plan,
            probed.load(),
            probed.nprobe,
            self.merge_parts(probed.nprobe),
            self.all_are_queries,
        )

    def merge_parts(self, nprobe: int) -> GroupPlan:
        """The parts of the merge, if a query probes this many lists."""
        return plan_merge(self.query_sizes, self.plan, nprobe, self.depth, self.cores)

    def merge(self, candidates: "DataFrame", probed: ProbedLists) -> Rows:
        """The neighbors table: the k best candidates of each query."""
        from pyspark.sql import functions as F

        settings = merge.MergeSettings(self.k, probed.nprobe, self.rules)

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            return merge.merge(batches, settings)

        parts = self.merge_parts(probed.nprobe).group_count
        by_part = candidates.repartitionById(parts, F.col("key").cast("int"))
        return Rows(by_part, run)


def plan_merge(
    query_sizes: Int64, plan: GroupPlan, nprobe: int, depth: int, cores: int
) -> GroupPlan:
    """The parts of the merge, as groups of lists: a query's own list decides.

    Parts have about equally many candidates: every group that a query is searched in gives up to
    `depth` of them.

    Args:
        query_sizes: int64[nlist], the queries of each list.
        plan: the groups.
        nprobe: how many lists a query probes.
        depth: candidates that a group has for a query, at most.
        cores: tasks at a time.
    """
    candidates = query_sizes * depth * groups_near(plan, nprobe)
    count = -(-int(candidates.sum()) // _CANDIDATES_PER_MERGE)
    return plan_by_rows(candidates, max(cores, count))


def groups_near(plan: GroupPlan, nprobe: int) -> Int64:
    """About how many groups the queries of each list are searched in, or more: int64[nlist].

    Lists that are near each other have near numbers; a list that is split is in several groups.
    """
    group = np.concatenate([plan.group_of_unit[:1], plan.group_of_unit])
    changes = np.cumsum(np.diff(group) != 0)
    lists = np.arange(len(plan.first_unit))
    low = np.maximum(lists - _WINDOW * nprobe // 2, 0)
    high = np.minimum(lists + _WINDOW * nprobe // 2, len(lists) - 1)
    last_unit = plan.first_unit[high] + plan.unit_count[high] - 1
    near: Int64 = 1 + changes[last_unit] - changes[plan.first_unit[low]]
    # Each list that is probed is in one group, or in those of its parts.
    window_units = last_unit - plan.first_unit[low] + 1
    split = window_units - (high - low + 1)
    bounded: Int64 = np.minimum(near, nprobe + split)
    return bounded


def _route(search: ListSearch, probed: ProbedLists) -> Any:  # noqa: ANN401 - for mapInArrow
    counts = search.counts

    def count(queries: int, copies: int, size: int) -> None:
        counts.queries.add(queries)
        counts.copies.add(copies)
        counts.bytes.add(size)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return search.router(probed).send(batches, count)

    return run


def _join(search: ListSearch, probed: ProbedLists) -> Any:  # noqa: ANN401 - for mapInArrow
    counts, plan, depth = search.counts, search.plan, search.depth

    def read_rows(group: int) -> "Iterator[pa.RecordBatch]":
        return search.items.rows(*plan.list_range(group), ITEM_COLUMNS)

    def read_items(group: int) -> "Iterator[pa.RecordBatch]":
        return loaded_group.items_of_group(read_rows(group), plan, group, depth)

    def count_local(_queries: int, copies: int, _size: int) -> None:
        counts.copies.add(copies)

    def on_group_done(scored: int) -> None:
        counts.groups.add(1)
        counts.distances.add(scored)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        router = search.router(probed)

        def read_local_queries(group: int) -> "Iterator[pa.RecordBatch]":
            if search.all_are_queries:
                yield from router.local_queries(read_rows(group), group, count_local)

        for batch in join.join(
            batches, read_items, read_local_queries, search.k, depth, search.rules, on_group_done
        ):
            counts.bytes.add(batch.nbytes)
            yield batch

    return run
