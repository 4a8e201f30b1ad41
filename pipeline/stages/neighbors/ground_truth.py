"""The ground truth: a sample of the queries and their true neighbours, by exact search in Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval import exact_search, packed_batches, recall
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.spark.sampling import collected_sample
from pipeline.storage.list_schemas import TRAITS
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SAMPLED = pa.schema([("item_id", pa.string()), ("vector", pa.binary()), *TRAITS])
# Queries whose distances to all centroids are in memory at a time.
_BLOCK_ROWS = 64
# Queries whose candidates a task merges, about.
_QUERIES_PER_MERGE = 1000


@dataclass(frozen=True)
class Sample:
    """A sample of the queries, in random order, and their true neighbours.

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

    def __getitem__(self, part: slice) -> "Sample":
        """A part of the sample."""
        return Sample(self.ids[part], self.vectors[part], self.neighbors[part], self.lists[part])

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

    def measure_recall(self, neighbors: "DataFrame", k: int) -> recall.Recall:
        """The recall of a neighbors table on this sample."""
        from pyspark.sql import functions as F

        sampled = neighbors.where(F.col("item_id").isin(self.ids))
        rows = sampled.selectExpr("item_id", f"slice(neighbors, 1, {k}) as neighbors").collect()
        by_id = {row["item_id"]: [tuple(n) for n in row["neighbors"]] for row in rows}
        return recall.measure_recall([by_id.get(item, []) for item in self.ids], self.neighbors, k)


@dataclass(frozen=True)
class TruthSettings:
    """What true neighbours are.

    Attributes:
        k: how many an item has.
        rules: the rules on pairs.
    """

    k: int
    rules: Rules


def draw_sample(
    lists: "DataFrame",
    queries: "DataFrame",
    query_count: int,
    max_queries: int,
    settings: TruthSettings,
    seed: int,
    catalogue: str,
) -> Sample:
    """Draw a seeded sample of the queries and search their true neighbours.

    Args:
        lists: the lists table, and if there are rules the columns of TRAITS.
        queries: its rows that are queries.
        query_count: how many those are.
        max_queries: size of the sample; it does not grow with the catalogue.
        settings: what true neighbours are.
        seed: of the sample.
        catalogue: names the catalogue; another one has another sample.
    """
    traits = [name for name in TRAITS.names if name in lists.columns]
    items = lists.where("eligible is null or eligible") if "eligible" in traits else lists
    columns = queries.select("item_id", "vector", *traits)
    table = collected_sample(columns, query_count, max_queries, seed, f"recall {catalogue}")
    rows = packed_batches.concat(
        (with_traits(b).select(_SAMPLED.names).cast(_SAMPLED) for b in table.to_batches()),
        _SAMPLED,
    )
    sampled = exact_search.TruthQueries(
        rows["item_id"], from_bytes(rows["vector"]), rows["same"], Traits.from_rows(rows)
    )
    neighbors: list[list[tuple[str, float]]] = [[] for _ in sampled.ids]
    neighbor_lists: list[list[int]] = [[] for _ in sampled.ids]
    if len(sampled.ids):
        items = items.select("item_id", "list", "vector", *traits)
        for row in _search(items, sampled, settings).toArrow().to_pylist():
            neighbors[row["query"]].append((row["similar_id"], row["score"]))
            neighbor_lists[row["query"]].append(row["list"])
    return Sample(sampled.ids.to_pylist(), sampled.vectors, neighbors, neighbor_lists)


def _search(
    items: "DataFrame", queries: exact_search.TruthQueries, settings: TruthSettings
) -> "DataFrame":
    """The true neighbours of all queries: each task's best ones, then the best of those."""
    k, rules = settings.k, settings.rules

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return exact_search.exact_search(batches, queries, k, rules)

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in packed_batches.coalesce(batches, max_bytes=1 << 62):
            yield exact_search.merge_truth(rows, k, rules)

    ddl = schemas.ddl(exact_search.TRUTH)
    parts = max(1, -(-len(queries.ids) // _QUERIES_PER_MERGE))
    best = items.mapInArrow(search, ddl).repartition(parts, "query")
    return best.mapInArrow(merge, ddl)
