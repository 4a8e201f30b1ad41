"""The ground truth: a sample of the queries and their true neighbours, by exact search in Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import exact_search, packed_batches, recall
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, eligible_rows, with_traits
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.spark.sampling import collected_sample
from pipeline.storage.list_schemas import NEIGHBORS, TRAITS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SAMPLED = pa.schema([("item_id", pa.string()), ("vector", pa.binary()), *TRAITS])
# What the search reads of an item; traits are there only if there are rules.
ITEM_COLUMNS = ("item_id", "list", "vector", *TRAITS.names)
_SAMPLED_NEIGHBORS = pa.schema([NEIGHBORS.field(name) for name in ("item_id", "neighbors")])
# Queries whose distances to all centroids are in memory at a time.
_BLOCK_ROWS = 64
# Candidates that a task merges, about. Each task of the search has some for each query.
_ROWS_PER_MERGE = 4_000_000


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
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"][:k]]
            for row in table.to_pylist()
        }
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
    items: Rows,
    queries: "DataFrame",
    query_count: int,
    max_queries: int,
    settings: TruthSettings,
    seed: int,
    catalogue: str,
) -> Sample:
    """Draw a seeded sample of the queries and search their true neighbours.

    Args:
        items: ITEM_COLUMNS of the lists table, and if there are rules the columns of TRAITS.
        queries: its rows that are queries.
        query_count: how many those are.
        max_queries: size of the sample; it does not grow with the catalogue.
        settings: what true neighbours are.
        seed: of the sample.
        catalogue: names the catalogue; another one has another sample.
    """
    traits = [name for name in TRAITS.names if name in queries.columns]
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
        for row in _search(items, sampled, settings).toArrow().to_pylist():
            neighbors[row["query"]].append((row["similar_id"], row["score"]))
            neighbor_lists[row["query"]].append(row["list"])
    return Sample(sampled.ids.to_pylist(), sampled.vectors, neighbors, neighbor_lists)


def _search(
    items: Rows, queries: exact_search.TruthQueries, settings: TruthSettings
) -> "DataFrame":
    """The true neighbours of all queries: each task's best ones, then the best of those."""
    k, rules = settings.k, settings.rules

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        eligible = (eligible_rows(batch) for batch in batches)
        return exact_search.exact_search(eligible, queries, k, rules)

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in packed_batches.coalesce(batches, max_bytes=1 << 62):
            yield exact_search.merge_truth(rows, k, rules)

    ddl = schemas.ddl(exact_search.TRUTH)
    found = items.map(search)
    depth, tasks = exact_search.depth_of(k, rules), found.frame.rdd.getNumPartitions()
    parts = max(1, -(-len(queries.ids) * depth * tasks // _ROWS_PER_MERGE))
    best = found.frame.mapInArrow(found.run, ddl).repartition(parts, "query")
    return best.mapInArrow(merge, ddl)
