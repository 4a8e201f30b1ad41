"""Recall: the share of the true neighbours that a table holds, with its interval."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.retrieval.join import result_batch
from pipeline.retrieval.queries import Queries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.search import Group
from pipeline.retrieval.vectors import Float32

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
    batches: Iterator[pa.RecordBatch],
    ids: list[str],
    vectors: Float32,
    same: list[str | None],
    k: int,
) -> Iterator[pa.RecordBatch]:
    """The best candidates of a few queries in a stream of items, block by block.

    Args:
        batches: columns item_id string, vector binary (float16), same string.
        ids: the queries' ids.
        vectors: float32[n, dim].
        same: what an item's `same` has to be.
        k: candidates of each query and block, at most.

    Yields:
        batches of pipeline.retrieval.join.RESULT.
    """
    names = {value: number for number, value in enumerate(sorted(set(same), key=str))}
    wanted = np.array([names[value] for value in same], dtype=np.int64)
    queries = Queries(pa.array(ids, pa.string()), vectors, np.arange(len(ids)), wanted)
    floor = np.full(len(ids), -np.inf, dtype=np.float32)
    for block in _blocks(batches):
        values = block["same"].to_pylist()
        lists = np.array([names.get(value, -1) for value in values], dtype=np.int64)
        vectors_of, ids_of = (block[name].combine_chunks() for name in ("vector", "item_id"))
        group = Group(lists, ids_of, vectors_of, k)
        found = group.search(queries, floor)
        full = found.counts == k
        last = found.scores[np.cumsum(found.counts)[full] - 1]
        floor[full] = np.maximum(floor[full], last)
        yield result_batch(queries.ids, group.ids, found)


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


def probes_for(depths: list[Int64], nlist: int, target: float) -> int:
    """How many lists a query has to probe for a recall, by a pilot sample.

    The recall that is aimed at is higher than the target by two standard errors of the sample's
    mean, so that another sample will seldom show less than the target.

    Args:
        depths: for each query of the sample, which of its nearest lists (0 is the nearest) each
            of its true neighbours is in.
        nlist: number of lists.
        target: share of the true neighbours wanted.
    """
    some = [depth for depth in depths if len(depth)]
    if not some:
        return 1
    sizes = np.array([len(depth) for depth in some])
    owner, flat = np.repeat(np.arange(len(some)), sizes), np.concatenate(some)
    for nprobe in range(1, nlist):
        shares = np.bincount(owner[flat < nprobe], minlength=len(some)) / sizes
        if shares.mean() - 2 * shares.std() / math.sqrt(len(some)) >= target:
            return nprobe
    return nlist
