"""Recall: the share of the true neighbours that a table holds, with its interval."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.retrieval.join import result_batch
from pipeline.retrieval.search import List
from pipeline.retrieval.vectors import Float32, from_bytes

_BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class Recall:
    """Recall of a table, measured on some of its items.

    Attributes:
        value: mean over the items measured.
        low, high: 95% interval (Wilson's score interval, each item one trial).
        queries: items measured.
        k: neighbours an item.
    """

    value: float
    low: float
    high: float
    queries: int
    k: int


def exact_search(
    batches: Iterator[pa.RecordBatch], ids: list[str], vectors: Float32, k: int
) -> Iterator[pa.RecordBatch]:
    """The best candidates of a few queries in a stream of items, block by block.

    Args:
        batches: columns item_id string, vector binary (float16).
        ids: the queries' ids.
        vectors: float32[n, dim].
        k: candidates of each query and block, at most.

    Yields:
        batches of pipeline.retrieval.join.RESULT.
    """
    for block in _blocks(batches):
        items = List(block["item_id"].to_pylist(), from_bytes(block["vector"]), k)
        yield result_batch(pa.array(ids, pa.string()), items, items.search(ids, vectors))


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _BLOCK_ROWS:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if rows:
        yield pa.Table.from_batches(held)


def measure(found: list[list[float]], exact: list[list[float]], k: int) -> Recall:
    """Recall by scores, so that an item that ties with the k-th neighbour counts as one.

    Args:
        found: the scores of each measured item's neighbours in the table, best first.
        exact: the same by exact search.
        k: neighbours an item.
    """
    shares = [
        sum(score >= true[-1] for score in mine) / len(true)
        for mine, true in zip(found, exact, strict=True)
        if true
    ]
    if not shares:
        return Recall(1.0, 0.0, 1.0, 0, k)
    value = float(np.mean(shares))
    low, high = wilson(value, len(shares))
    return Recall(value, low, high, len(shares), k)


def wilson(share: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    square = z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
