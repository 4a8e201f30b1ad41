"""Sorting candidates by query, score and id, with integers as keys."""

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.vectors import Float32

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


def descending(scores: Float32) -> UInt64:
    """Integers of 32 bits that ascend as the scores descend."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return np.subtract(np.uint64(0xFFFFFFFF), ascending, dtype=np.uint64)


def keys(rows: Int64, scores: Float32, places: Int64) -> UInt64:
    """Keys that ascend by row (12 bits), then by descending score, then by place (20 bits)."""
    packed = rows.astype(np.uint64) << np.uint64(52)
    packed |= descending(scores) << np.uint64(20)
    packed |= places.astype(np.uint64)
    return packed


def ranks(rows: npt.NDArray[np.integer]) -> Int64:
    """The place of each entry in its run of equal rows, from 0."""
    new = np.ones(len(rows), dtype=bool)
    new[1:] = rows[1:] != rows[:-1]
    starts = np.flatnonzero(new)
    return np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))


def ranges(starts: Int64, sizes: Int64) -> Int64:
    """start, start + 1, ... up to size of them, for each start and size, in one array."""
    shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return shift + np.arange(len(shift))
