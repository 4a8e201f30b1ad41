"""Sums over segments of matrix rows: the inner loop of all embedders here."""

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]
DecodeRows = Callable[[npt.NDArray[np.int64]], Floats]

_CHUNK_ROWS = 1 << 12


def sum_rows(
    matrix: Floats,
    indices: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.int64],
    weights: Floats | None = None,
) -> Floats:
    """Return the weighted sum of each segment of rows.

    The rows of a segment are added one by one from the first, as fastText does.

    Args:
        matrix: float32[rows, dim], aligned. A memory map is read in place.
        indices: int[k], row numbers, segment after segment.
        offsets: int64[n + 1], where in `indices` each segment starts and the last one ends.
        weights: float32[k]; all 1 if left out.

    Returns:
        float32[n, dim], zeros for an empty segment.
    """
    segments, (rows, dim) = len(offsets) - 1, matrix.shape
    if len(indices) == 0:
        return np.zeros((segments, dim), dtype=np.float32)
    data = np.ones(len(indices), dtype=np.float32) if weights is None else weights
    selection = csr_matrix((data, indices, offsets), shape=(segments, rows))
    return cast("Floats", selection @ matrix)


def sum_decoded_rows(
    decode: DecodeRows, indices: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], dim: int
) -> Floats:
    """As `sum_rows`, for rows that have to be decoded or copied, some thousand at a time.

    A segment is cut depending on its own length only, so that its sum does not depend on its
    neighbours.

    Args:
        decode: returns float32[m, dim] for int64[m] row numbers.
        indices: int64[k], row numbers, segment after segment.
        offsets: int64[n + 1], where in `indices` each segment starts and the last one ends.
        dim: length of a row.

    Returns:
        float32[n, dim], zeros for an empty segment.
    """
    out = np.zeros((len(offsets) - 1, dim), dtype=np.float32)
    segment = 0
    while segment < len(out):
        first = int(offsets[segment])
        end = int(np.searchsorted(offsets, first + _CHUNK_ROWS, side="right")) - 1
        end = max(end, segment + 1)
        for start in range(first, int(offsets[end]), _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, int(offsets[end]))
            rows = decode(indices[start:stop])
            chunk_offsets = np.clip(offsets[segment : end + 1], start, stop) - start
            out[segment:end] += sum_rows(rows, np.arange(stop - start), chunk_offsets)
        segment = end
    return out


def sum_widened_rows(
    matrix: np.ndarray, indices: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> Floats:
    """As `sum_rows` without weights, for float32 rows in place or float16 rows widened."""
    if matrix.dtype == np.float32:
        return sum_rows(matrix, indices, offsets)

    def widen(rows: npt.NDArray[np.int64]) -> Floats:
        return matrix[rows].astype(np.float32)

    return sum_decoded_rows(widen, indices, offsets, matrix.shape[1])


def normalize_rows(vectors: Floats) -> npt.NDArray[np.bool_]:
    """Divide each row of float32[n, dim] by its norm, in place.

    Norms are computed in float32 because fastText's are: what underflows there is zero here.

    Returns:
        bool[n]: whether the norm of the row is above zero; other rows are set to zeros.
    """
    norms = row_norms(vectors)
    positive = np.asarray(norms > 0)
    with np.errstate(divide="ignore"):
        inverse = np.where(positive, np.float32(1) / norms, np.float32(0))
    vectors *= inverse[:, None]
    return positive


def row_norms(rows: Floats) -> Floats:
    """Return the lengths of rows: float32[n]."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def scale_rows(vectors: Floats, lengths: float | Floats, out: Floats) -> None:
    """Fill float32[n, k] with the vectors, scaled to a length; zeros stay zeros.

    Args:
        vectors: float32[n, k].
        lengths: of all, or float32[n].
        out: receives them.
    """
    norms = row_norms(vectors)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(norms > 0, np.asarray(lengths, np.float32) / norms, np.float32(0))
    np.multiply(vectors, factors[:, None], out=out)
