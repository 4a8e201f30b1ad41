"""Recall: the share of the true neighbours that a table holds, with its interval."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.queries import Queries
from pipeline.retrieval.ranking import Int64, by_rank, ranks
from pipeline.retrieval.search import Group
from pipeline.retrieval.vectors import Float32

# Items that the queries are compared with at a time.
_BLOCK_ROWS = 4_096
# Standard errors, for a one-sided 95%.
CONFIDENCE = 1.645

# A true neighbour of a query (its number), and the list that it is in.
TRUTH = pa.schema(
    [
        ("query", pa.int32()),
        ("similar_id", pa.string()),
        ("score", pa.float32()),
        ("list", pa.int32()),
    ]
)
TRUTH_DDL = "query int, similar_id string, score float, list int"


@dataclass(frozen=True)
class Asked:
    """Queries whose true neighbours are wanted.

    Attributes:
        ids: string[n].
        vectors: float32[n, dim].
        same: string[n], what `same` of a neighbour has to be.
    """

    ids: pa.Array
    vectors: Float32
    same: pa.Array


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
    batches: Iterator[pa.RecordBatch], asked: Asked, k: int
) -> Iterator[pa.RecordBatch]:
    """The nearest items of a few queries in a stream of items, by comparing them with each.

    Args:
        batches: columns item_id string, list int, vector binary (float16), same string.
        asked: the queries.
        k: neighbours a query, at most.

    Yields:
        one batch of TRUTH, ordered by query and rank.
    """
    values = asked.same.dictionary_encode(null_encoding="encode")
    wanted = np.asarray(values.indices).astype(np.int64)
    queries = Queries(asked.ids, asked.vectors, np.arange(len(asked.ids)), wanted)
    floor = np.full(len(asked.ids), -np.inf, dtype=np.float32)
    nearest = pa.RecordBatch.from_pylist([], schema=TRUTH)
    for block in _blocks(batches):
        same = pc.fill_null(pc.index_in(block["same"], values.dictionary), -1)
        group = Group(np.asarray(same).astype(np.int64), block["item_id"], block["vector"], k)
        found = group.search(queries, floor)
        lists = block["list"].take(pc.index_in(group.ids, block["item_id"]))
        items = pa.array(found.items)
        rows = np.repeat(np.arange(len(found.counts), dtype=np.int32), found.counts)
        columns = [pa.array(rows), group.ids.take(items), pa.array(found.scores), lists.take(items)]
        added = pa.RecordBatch.from_arrays(columns, schema=TRUTH)
        nearest = best_truth(pa.concat_batches([nearest, added]), k)
        numbers = nearest["query"].to_numpy()
        last = ranks(numbers) == k - 1
        floor[numbers[last]] = nearest["score"].to_numpy()[last]
    yield nearest


def best_truth(found: pa.RecordBatch, k: int) -> pa.RecordBatch:
    """The k best rows of TRUTH of each query, in order."""
    rows, ids = found["query"].to_numpy().astype(np.int64), found["similar_id"]

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(ids.take(pa.array(some)), tiebreaker="dense"))

    order = by_rank(rows, found["score"].to_numpy(), by_id)
    return found.take(pa.array(order[ranks(rows[order]) < k]))


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for whole in parcels.gathered(batches):
        for start in range(0, whole.num_rows, _BLOCK_ROWS):
            yield whole.slice(start, _BLOCK_ROWS)


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


def probes_for(depths: list[Int64], nlist: int, target: float, errors: float = CONFIDENCE) -> int:
    """How many lists a query has to probe for a recall, by a sample of the queries.

    The recall that is aimed at is higher than the target by so many standard errors of the sample's
    mean: as it is, that of all queries is not below the target with a confidence of 95%.

    Args:
        depths: for each query of the sample, which of its nearest lists (0 is the nearest) each
            of its true neighbours is in.
        nlist: number of lists.
        target: share of the true neighbours wanted.
        errors: standard errors; none for the recall of the sample itself.
    """
    some = [depth for depth in depths if len(depth)]
    if not some:
        return 1
    sizes = np.array([len(depth) for depth in some])
    owner, flat = np.repeat(np.arange(len(some)), sizes), np.concatenate(some)
    margin = errors / math.sqrt(len(some))
    for nprobe in range(1, nlist):
        shares = np.bincount(owner[flat < nprobe], minlength=len(some)) / sizes
        if shares.mean() - margin * shares.std() >= target:
            return nprobe
    return nlist
