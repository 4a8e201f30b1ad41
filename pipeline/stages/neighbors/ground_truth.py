"""A sample of the queries and their true neighbours, by exact search in Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches, quantiser, recall
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.spark.sampling import collected_sample
from pipeline.storage.clustered_tables import TRAITS
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ASKED = pa.schema([("item_id", pa.string()), ("vector", pa.binary()), *TRAITS])
# Queries whose distances to every centroid are held at once.
_BLOCK_ROWS = 64


@dataclass(frozen=True)
class Sample:
    """Some of the queries, in a random order, and their true neighbours.

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
        """Some of the sample."""
        return Sample(self.ids[part], self.vectors[part], self.neighbors[part], self.lists[part])

    def depths(self, centroids: Float32) -> list[Int64]:
        """For each query, which of its nearest lists each of its true neighbours is in."""
        found = []
        for start in range(0, len(self.ids), _BLOCK_ROWS):
            places = quantiser.centroid_ranks(self.vectors[start : start + _BLOCK_ROWS], centroids)
            for mine, lists in zip(places, self.lists[start:], strict=False):
                found.append(mine[np.array(lists, dtype=np.int64)].astype(np.int64))
        return found

    def recall_of(self, neighbors: "DataFrame", k: int) -> recall.Recall:
        """Recall of a neighbors table on this sample."""
        from pyspark.sql import functions as F

        mine = neighbors.where(F.col("item_id").isin(self.ids))
        rows = mine.selectExpr("item_id", f"slice(neighbors, 1, {k}) as neighbors").collect()
        found = {row["item_id"]: [tuple(n) for n in row["neighbors"]] for row in rows}
        return recall.measure_recall([found.get(item, []) for item in self.ids], self.neighbors, k)


@dataclass(frozen=True)
class TruthSettings:
    """What true neighbours are.

    Attributes:
        k: how many an item has.
        rules: what holds for pairs.
    """

    k: int
    rules: Rules


def draw_sample(
    lists: "DataFrame",
    asking: "DataFrame",
    queries: int,
    most: int,
    wanted: TruthSettings,
    seed: int,
) -> Sample:
    """A seeded sample; its size does not grow with the catalogue.

    Args:
        lists: the lists table, and if there are rules the columns of TRAITS.
        asking: those of its rows that ask.
        queries: how many items ask.
        most: size of the sample.
        wanted: what true neighbours are.
        seed: of the choice.
    """
    traits = [name for name in TRAITS.names if name in lists.columns]
    items = lists.where("eligible is null or eligible") if "eligible" in traits else lists
    some = asking.select("item_id", "vector", *traits)
    table = collected_sample(some, queries, most, seed, "recall")
    drawn = _drawn(table)
    asked = recall.TruthQueries(
        drawn["item_id"], from_bytes(drawn["vector"]), drawn["same"], Traits.of(drawn)
    )
    ids = asked.ids
    neighbors: list[list[tuple[str, float]]] = [[] for _ in ids]
    of_list: list[list[int]] = [[] for _ in ids]
    if len(ids):
        found = _nearest(items.select("item_id", "list", "vector", *traits), asked, wanted)
        for row in found.toArrow().to_pylist():
            neighbors[row["query"]].append((row["similar_id"], row["score"]))
            of_list[row["query"]].append(row["list"])
    return Sample(ids.to_pylist(), asked.vectors, neighbors, of_list)


def _drawn(table: pa.Table) -> pa.RecordBatch:
    """A sample as one batch of item_id, vector and TRAITS."""
    nothing = pa.RecordBatch.from_pylist([], schema=_ASKED)
    batches = (with_traits(batch).select(_ASKED.names) for batch in table.to_batches())
    return pa.concat_batches([nothing, *(batch.cast(_ASKED) for batch in batches)])


def _nearest(items: "DataFrame", asked: recall.TruthQueries, wanted: TruthSettings) -> "DataFrame":
    """The true neighbours of all queries: each task's best, then the best of those."""

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return recall.exact_search(batches, asked, wanted.k, wanted.rules)

    def best(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for found in packed_batches.coalesce(batches, most=1 << 62):
            yield recall.merge_truth(found, wanted.k, wanted.rules)

    found = items.mapInArrow(scan, schemas.ddl(recall.TRUTH))
    parts = max(1, -(-len(asked.ids) // 1000))
    return found.repartition(parts, "query").mapInArrow(best, schemas.ddl(recall.TRUTH))
