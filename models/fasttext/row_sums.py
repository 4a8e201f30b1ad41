"""Sums of many runs of rows of a matrix: the inner loop of everything here."""

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]
TakeRows = Callable[[npt.NDArray[np.int64]], Floats]

_CHUNK_ROWS = 1 << 12


def sum_rows(
    matrix: Floats,
    places: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.int64],
    weights: Floats | None = None,
) -> Floats:
    """The weighted sum of each run of rows, added one by one from the first, as fastText does.

    Args:
        matrix: float32[rows, dim], aligned; a memory map is read in place.
        places: int[k], rows of the matrix, run after run.
        offsets: int64[n + 1], where in `places` each run starts and the last ends.
        weights: float32[k]; all 1 if left out.

    Returns:
        float32[n, dim], zeros for an empty run.
    """
    runs, (rows, dim) = len(offsets) - 1, matrix.shape
    if len(places) == 0:
        return np.zeros((runs, dim), dtype=np.float32)
    data = np.ones(len(places), dtype=np.float32) if weights is None else weights
    chosen = csr_matrix((data, places, offsets), shape=(runs, rows))
    return cast("Floats", chosen @ matrix)


def sum_decoded_rows(
    take: TakeRows, places: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], dim: int
) -> Floats:
    """As `sum_rows`, of rows that are decoded or copied when asked for, some thousand at a time.

    A run is cut only by its own length, so that its sum does not depend on its neighbours.
    """
    out = np.zeros((len(offsets) - 1, dim), dtype=np.float32)
    run = 0
    while run < len(out):
        first = int(offsets[run])
        last = int(np.searchsorted(offsets, first + _CHUNK_ROWS, side="right")) - 1
        last = max(last, run + 1)
        for start in range(first, int(offsets[last]), _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, int(offsets[last]))
            part = np.clip(offsets[run : last + 1], start, stop) - start
            out[run:last] += sum_rows(take(places[start:stop]), np.arange(stop - start), part)
        run = last
    return out


def sum_widened_rows(
    matrix: np.ndarray, places: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> Floats:
    """As `sum_rows` without weights, of float32 rows in place or float16 rows widened."""
    if matrix.dtype == np.float32:
        return sum_rows(matrix, places, offsets)

    def widen(some: npt.NDArray[np.int64]) -> Floats:
        return matrix[some].astype(np.float32)

    return sum_decoded_rows(widen, places, offsets, matrix.shape[1])


def unit(vectors: Floats) -> npt.NDArray[np.bool_]:
    """Divide each row of float32[n, dim] by its norm, in place.

    Norms are computed in float32 because fastText's are: what underflows there is zero here.

    Returns:
        bool[n]: whether the row has a norm above zero; else it is set to zeros.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    positive = np.asarray(norms > 0)
    with np.errstate(divide="ignore"):
        inverse = np.where(positive, np.float32(1) / norms, np.float32(0))
    vectors *= inverse[:, None]
    return positive
