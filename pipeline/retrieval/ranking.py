"""Sorting candidates by query, score and place, with integers as keys."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.vectors import Float32

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
# Scores whose maximum stands for them where a row's best are looked for.
_STRIPE = 8

TieKeys = Callable[[Int64], Int64]


def rank_order(rows: Int64, scores: Float32, places: TieKeys) -> Int64:
    """The order by row, then descending score, then place: int64[n].

    Args:
        rows: int64[n], below 2**32.
        scores: float32[n], none NaN; 0.0 and -0.0 are one.
        places: gives int64 values that decide where rows and scores are equal, for the entries at
            some positions.
    """
    keys = rows.astype(np.uint64) << np.uint64(32) | _descending(scores)
    order: Int64 = np.argsort(keys)
    keys = keys[order]
    equal = keys[1:] == keys[:-1]
    if equal.any():
        tied = np.zeros(len(keys), dtype=bool)
        tied[1:] |= equal
        tied[:-1] |= equal
        among = order[tied]
        order[tied] = among[np.lexsort((places(among), keys[tied]))]
    return order


def _descending(scores: Float32) -> UInt64:
    """Integers of 32 bits that ascend as the scores descend."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return np.subtract(np.uint64(0xFFFFFFFF), ascending, dtype=np.uint64)


def kth_score_bound(scores: Float32, place: int) -> Float32:
    """A score that at least so many of each row reach, and seldom many more: float32[n].

    Args:
        scores: float32[n, m].
        place: 1 to m.
    """
    columns = scores.shape[1] // _STRIPE
    if columns < _STRIPE * place:
        at = scores.shape[1] - place
        return np.partition(scores, at, axis=1)[:, at]
    # The maxima of disjoint stripes are scores of the row: their place-th is no higher than its.
    stripes = scores[:, : columns * _STRIPE].reshape(len(scores), _STRIPE, columns).max(axis=1)
    return np.partition(stripes, columns - place, axis=1)[:, columns - place]


def group_by_list(lists: npt.NDArray[np.integer], rows: Int64) -> Iterator[tuple[int, Int64]]:
    """Each list and the rows that are given for it: int64[n] and int64[n], in the lists' order."""
    order = np.argsort(lists, kind="stable")
    numbers, starts = np.unique(lists[order], return_index=True)
    yield from zip(
        numbers.tolist(), np.split(rows[order], starts[1:]) if len(numbers) else [], strict=True
    )


def rank_in_row(rows: npt.NDArray[np.integer]) -> Int64:
    """The place of each entry in its run of equal rows, from 0."""
    new = np.ones(len(rows), dtype=bool)
    new[1:] = rows[1:] != rows[:-1]
    starts = np.flatnonzero(new)
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))


def concat_ranges(starts: Int64, sizes: Int64) -> Int64:
    """start, start + 1, ... up to size of them, for each start and size, in one array."""
    shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return shift + np.arange(len(shift))
