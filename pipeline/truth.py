"""Samples of the queries and their true neighbours, by exact search in Spark."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import nearest
from pipeline.retrieval import quantiser, recall
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.sampling import seeded_sample

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Sample:
    """Some of the queries, and their true neighbours.

    Attributes:
        ids: n ids.
        vectors: float32[n, dim].
        truth: the neighbors table of these queries by exact search.
    """

    ids: list[str]
    vectors: Float32
    truth: "DataFrame"

    @classmethod
    def take(cls, lists: "DataFrame", queries: int, most: int, k: int, seed: int) -> "Sample":
        """A seeded sample; its size does not grow with the catalogue.

        Args:
            lists: the lists table, with a column `query` where not every item asks.
            queries: how many items ask.
            most: size of the sample.
            k: neighbours an item.
            seed: of the choice.
        """
        asking = lists.where("query") if "query" in lists.columns else lists
        some = seeded_sample(asking.select("item_id", "vector"), queries, most, seed).toArrow()
        ids, vectors = some["item_id"].to_pylist(), from_bytes(some["vector"])
        same: list[str | None] = [None] * len(ids)
        truth = nearest.exact(lists, ids, vectors, same, k)
        return cls(ids, vectors, truth)

    def depths(
        self, lists: "DataFrame", centroids: Float32
    ) -> "list[np.ndarray[Any, np.dtype[np.int64]]]":
        """For each query, which of its nearest lists each of its true neighbours is in."""
        from pyspark.sql import functions as F

        pairs = self.truth.select(
            F.col("item_id").alias("asked"), F.explode("neighbors.similar_id").alias("item_id")
        )
        of_query: dict[str, list[int]] = {}
        for row in (
            pairs.join(lists.select("item_id", "list"), "item_id").select("asked", "list").collect()
        ):
            of_query.setdefault(row["asked"], []).append(row["list"])
        places = quantiser.places(self.vectors, centroids)
        return [
            places[row, of_query.get(item, [])].astype(np.int64)
            for row, item in enumerate(self.ids)
        ]

    def recall_of(self, neighbors: "DataFrame", k: int) -> recall.Recall:
        """Recall of a neighbors table on this sample."""
        from pyspark.sql import functions as F

        mine = neighbors.where(F.col("item_id").isin(self.ids))
        found, exact = (
            {
                row["item_id"]: row["scores"]
                for row in frame.selectExpr("item_id", "neighbors.score as scores").collect()
            }
            for frame in (mine, self.truth)
        )
        return recall.measure(
            [found.get(item, []) for item in self.ids],
            [exact.get(item, []) for item in self.ids],
            k,
        )
