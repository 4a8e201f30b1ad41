"""Sort candidates by query, score and tie-break with integer keys; helpers on runs of rows."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.vectors import Float32

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
# From positions int64[n] to int64[n]: the keys that decide between equal scores, least first.
TieKeys = Callable[[Int64], Int64]

# Scores of one stripe: the maximum of a stripe stands for all of it in `kth_score_bound`.
_STRIPE = 8


def rank_order(rows: Int64, scores: Float32, tie_keys: TieKeys) -> Int64:
    """The order by row, then by descending score, then by tie key: int64[n].

    Args:
        rows: int64[n], below 2**32: the query of each candidate.
        scores: float32[n], none NaN; 0.0 and -0.0 are equal.
        tie_keys: called with the positions whose row and score occur more than once.
    """
    keys = rows.astype(np.uint64) << np.uint64(32) | _descending(scores)
    order: Int64 = np.argsort(keys)
    keys = keys[order]
    equal = keys[1:] == keys[:-1]
    if equal.any():
        is_tied = np.zeros(len(keys), dtype=bool)
        is_tied[1:] |= equal
        is_tied[:-1] |= equal
        tied = order[is_tied]
        order[is_tied] = tied[np.lexsort((tie_keys(tied), keys[is_tied]))]
    return order


def ties_by_id(ids: pa.Array) -> TieKeys:
    """Tie keys that order equal scores by the id of the candidate: string[n], by code point."""

    def tie_keys(positions: Int64) -> Int64:
        ranks = pc.rank(ids.take(pa.array(positions)), tiebreaker="dense")
        return np.asarray(ranks).astype(np.int64)

    return tie_keys


def _descending(scores: Float32) -> UInt64:
    """Integers of 32 bits that ascend as the scores descend."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return np.subtract(np.uint64(0xFFFFFFFF), ascending, dtype=np.uint64)


def kth_score_bound(scores: Float32, k: int) -> Float32:
    """A lower bound of the k-th greatest score of each row, mostly a tight one: float32[n].

    At least k scores of the row reach it.

    Args:
        scores: float32[n, m].
        k: 1 to m.
    """
    stripe_count = scores.shape[1] // _STRIPE
    if stripe_count < _STRIPE * k:
        position = scores.shape[1] - k
        return np.partition(scores, position, axis=1)[:, position]
    # The maxima of disjoint stripes are scores of the row, so their k-th greatest is not above the
    # row's own; to find it, far fewer values are partitioned.
    striped = scores[:, : stripe_count * _STRIPE].reshape(len(scores), _STRIPE, stripe_count)
    return np.partition(striped.max(axis=1), stripe_count - k, axis=1)[:, stripe_count - k]


def group_by_list(lists: npt.NDArray[np.integer], rows: Int64) -> Iterator[tuple[int, Int64]]:
    """Yield each list in ascending order, with the rows that belong to it.

    Args:
        lists: int[n], the list of each entry.
        rows: int64[n], the row of each entry.
    """
    order = np.argsort(lists, kind="stable")
    numbers, starts = np.unique(lists[order], return_index=True)
    yield from zip(
        numbers.tolist(), np.split(rows[order], starts[1:]) if len(numbers) else [], strict=True
    )


def rank_in_row(rows: npt.NDArray[np.integer]) -> Int64:
    """The position of each entry in its run of equal rows, from 0: int64[n]."""
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = rows[1:] != rows[:-1]
    starts = np.flatnonzero(is_new)
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))


def concat_ranges(starts: Int64, sizes: Int64) -> Int64:
    """Concatenate the ranges start, start + 1, ..., start + size - 1: int64[sum of sizes]."""
    shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return shift + np.arange(len(shift))
