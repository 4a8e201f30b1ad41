"""The ground truth: the true neighbours of the sampled queries, by exact search in Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import exact_search, packed_batches, recall
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64, rank_in_row
from pipeline.retrieval.rules import NO_RULES, Rules, eligible_rows
from pipeline.retrieval.vectors import Float32
from pipeline.stages.neighbors.recall_sample import SampledQueries
from pipeline.storage.list_schemas import NEIGHBORS, TRAITS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows

# What the search reads of an item; traits are there only if there are rules.
ITEM_COLUMNS = ("item_id", "list", "vector", *TRAITS.names)
_SAMPLED_NEIGHBORS = pa.schema([NEIGHBORS.field(name) for name in ("item_id", "neighbors")])
# Queries whose distances to all centroids are in memory at a time.
_BLOCK_ROWS = 64
# Candidates that a task merges, about. Each task of the search has some for each query.
_ROWS_PER_MERGE = 4_000_000


@dataclass(frozen=True)
class Sample:
    """A part of the sampled queries, and their true neighbours.

    Attributes:
        ids: n ids.
        vectors: float32[n, dim].
        neighbors: id and score of each query's true neighbours, best first.
        lists: the list that each of these neighbours is in.
    """

    ids: list[str]
    vectors: Float32
    neighbors: list[list[tuple[str, float]]]
    lists: list[list[int]]

    def depths(self, quantiser: Quantiser) -> list[Int64]:
        """For each query, the rank of the list that each of its true neighbours is in.

        Args:
            quantiser: of the lists; rank 0 is the list that it probes first.
        """
        depths = []
        for start in range(0, len(self.ids), _BLOCK_ROWS):
            vectors = self.vectors[start : start + _BLOCK_ROWS]
            ranks = quantiser.ranks(vectors)
            for row, lists in zip(ranks, self.lists[start:], strict=False):
                depths.append(row[np.array(lists, dtype=np.int64)].astype(np.int64))
        return depths

    def measure_recall(self, neighbors: Rows, k: int) -> recall.Recall:
        """The recall of a neighbors table on this sample.

        Args:
            neighbors: item_id and neighbors of the table.
            k: how many of an item's neighbours count.
        """
        ids = pa.array(self.ids, pa.string())

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                sampled = batch.filter(pc.is_in(batch["item_id"], ids))
                yield sampled.select(_SAMPLED_NEIGHBORS.names)

        rows = neighbors.map(run)
        table = rows.frame.mapInArrow(rows.run, schemas.ddl(_SAMPLED_NEIGHBORS)).toArrow()
        by_id = {
            row["item_id"]: [(n["similar_id"], _ranked_by(n)) for n in row["neighbors"][:k]]
            for row in table.to_pylist()
        }
        return recall.measure_recall([by_id.get(item, []) for item in self.ids], self.neighbors, k)


@dataclass(frozen=True)
class GroundTruth:
    """The true neighbours of the sampled queries.

    Attributes:
        sampled: the queries.
        rows: of exact_search.TRUTH, by query and rank: `query` is a row of `sampled`.
    """

    sampled: SampledQueries
    rows: pa.RecordBatch

    def sample(self, numbers: Int64, k: int) -> Sample:
        """A part of the queries with their k true neighbours.

        Args:
            numbers: int64[n], rows of `sampled`, ascending.
            k: how many neighbours an item has.
        """
        query_of = self.rows["query"].to_numpy().astype(np.int64)
        is_wanted = (rank_in_row(query_of) < k) & np.isin(query_of, numbers)
        rows = self.rows.filter(pa.array(is_wanted))
        ends = np.searchsorted(rows["query"].to_numpy(), numbers, side="right").tolist()
        pairs = zip(rows["similar_id"].to_pylist(), rows["score"].to_pylist(), strict=True)
        neighbors, lists = list(pairs), rows["list"].to_pylist()
        queries, bounds = self.sampled.truth_queries(numbers, NO_RULES), list(pairwise([0, *ends]))
        return Sample(
            queries.ids.to_pylist(),
            queries.vectors,
            [neighbors[start:end] for start, end in bounds],
            [lists[start:end] for start, end in bounds],
        )


def search_truth(
    items: Rows, sampled: SampledQueries, numbers: Int64, k: int, rules: Rules
) -> pa.RecordBatch:
    """The true neighbours of some queries: each task's best ones, then the best of those.

    Args:
        items: ITEM_COLUMNS of the lists table, and if there are rules the columns of TRAITS.
        sampled: the queries.
        numbers: int64[n], the rows of `sampled` that are searched for.
        k: how many neighbours an item has.
        rules: the rules on pairs.

    Returns:
        rows of exact_search.TRUTH, by query and rank: `query` is a row of `sampled`.
    """
    found, missing = [], numbers
    for factor in exact_search.FACTORS:
        rows = _search_with(items, sampled, missing, k, rules, factor)
        query_of = rows["query"].to_numpy()
        # Queries whose lists end at a cut, because the caps exclude too much of what precedes it.
        missing = np.unique(query_of[rows["cut_id"].is_valid()]).astype(np.int64)
        if factor != exact_search.FACTORS[-1]:
            rows = rows.filter(pa.array(~np.isin(query_of, missing)))
        found.append(rows)
    rows = pa.concat_batches(found)
    return rows.take(pa.array(np.argsort(rows["query"].to_numpy(), kind="stable")))


def _search_with(
    items: Rows, sampled: SampledQueries, numbers: Int64, k: int, rules: Rules, factor: int
) -> pa.RecordBatch:
    """The true neighbours of some queries; if caps exclude too many, only the first of them.

    Arguments as for `search_truth`; `factor` as for `exact_search.exact_search`.
    """
    if not len(numbers):
        return pa.RecordBatch.from_pylist([], schema=exact_search.TRUTH)
    queries = sampled.truth_queries(numbers, rules)

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        eligible = (eligible_rows(batch) for batch in batches)
        return exact_search.exact_search(eligible, queries, k, rules, factor)

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in packed_batches.coalesce(batches, max_bytes=1 << 62):
            yield exact_search.merge_truth(rows, k, rules)

    ddl = schemas.ddl(exact_search.TRUTH)
    found = items.map(search)
    kept, tasks = exact_search.rows_kept(k, rules, factor), found.frame.rdd.getNumPartitions()
    parts = max(1, -(-len(queries.ids) * kept * tasks // _ROWS_PER_MERGE))
    best = found.frame.mapInArrow(found.run, ddl).repartition(parts, "query")
    table = best.mapInArrow(merge, ddl).toArrow()
    rows = packed_batches.concat(table.cast(exact_search.TRUTH).to_batches(), exact_search.TRUTH)
    query_of = pa.array(numbers[rows["query"].to_numpy()], pa.int32())
    return rows.set_column(0, exact_search.TRUTH.field("query"), query_of)


def _ranked_by(neighbor: dict[str, Any]) -> float:
    """What a value of NEIGHBOR is ranked by."""
    boosted: float | None = neighbor["ranked_by"]
    score: float = neighbor["score"]
    return score if boosted is None else boosted
