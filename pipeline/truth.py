"""A sample of the queries and their true neighbours, by exact search in Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.nearest import with_same
from pipeline.retrieval import parcels, quantiser, recall
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.sampling import collected_sample

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Queries whose distances to every centroid are held at once.
_BLOCK_ROWS = 64


@dataclass(frozen=True)
class Sample:
    """Some of the queries, in a random order, and their true neighbours.

    Attributes:
        ids: n ids.
        vectors: float32[n, dim].
        scores: of each query's true neighbours, best first.
        lists: the list that each of these neighbours is in.
    """

    ids: list[str]
    vectors: Float32
    scores: list[list[float]]
    lists: list[list[int]]

    def __getitem__(self, part: slice) -> "Sample":
        """Some of the sample."""
        return Sample(self.ids[part], self.vectors[part], self.scores[part], self.lists[part])

    def depths(self, centroids: Float32) -> list[Int64]:
        """For each query, which of its nearest lists each of its true neighbours is in."""
        found = []
        for start in range(0, len(self.ids), _BLOCK_ROWS):
            places = quantiser.places(self.vectors[start : start + _BLOCK_ROWS], centroids)
            for mine, lists in zip(places, self.lists[start:], strict=False):
                found.append(mine[np.array(lists, dtype=np.int64)].astype(np.int64))
        return found

    def recall_of(self, neighbors: "DataFrame", k: int) -> recall.Recall:
        """Recall of a neighbors table on this sample."""
        from pyspark.sql import functions as F

        mine = neighbors.where(F.col("item_id").isin(self.ids))
        rows = mine.selectExpr("item_id", f"slice(neighbors.score, 1, {k}) as scores").collect()
        found = {row["item_id"]: row["scores"] for row in rows}
        return recall.measure([found.get(item, []) for item in self.ids], self.scores, k)


def take(
    lists: "DataFrame", asking: "DataFrame", queries: int, most: int, k: int, seed: int
) -> Sample:
    """A seeded sample; its size does not grow with the catalogue.

    Args:
        lists: the lists table, and if there are such rules the columns eligible boolean and same
            string.
        asking: those of its rows that ask.
        queries: how many items ask.
        most: size of the sample.
        k: neighbours an item.
        seed: of the choice.
    """
    items = with_same(lists.where("eligible") if "eligible" in lists.columns else lists)
    wanted = with_same(asking).select("item_id", "vector", "same")
    some = collected_sample(wanted, queries, most, seed, "recall").combine_chunks()
    ids, vectors, same = (_column(some, name) for name in ("item_id", "vector", "same"))
    asked = recall.Asked(ids.cast(pa.string()), from_bytes(vectors), same.cast(pa.string()))
    scores: list[list[float]] = [[] for _ in ids]
    of_list: list[list[int]] = [[] for _ in ids]
    if len(ids):
        for row in _nearest(items, asked, k).toArrow().to_pylist():
            scores[row["query"]].append(row["score"])
            of_list[row["query"]].append(row["list"])
    return Sample(ids.to_pylist(), asked.vectors, scores, of_list)


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _nearest(items: "DataFrame", asked: recall.Asked, k: int) -> "DataFrame":
    """The true neighbours of all queries: each task's best, then the best of those."""

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return recall.exact_search(batches, asked, k)

    def best(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for found in parcels.gathered(batches, most=1 << 62):
            yield recall.best_truth(found, k)

    found = items.select("item_id", "list", "vector", "same").mapInArrow(scan, recall.TRUTH_DDL)
    parts = max(1, -(-len(asked.ids) // 1000))
    return found.repartition(parts, "query").mapInArrow(best, recall.TRUTH_DDL)
