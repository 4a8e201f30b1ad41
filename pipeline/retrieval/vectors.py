"""Vectors as they cross between stages, and their lengths and cosines."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Float32 = npt.NDArray[np.float32]


def from_bytes(column: pa.Array) -> Float32:
    """Vectors out of a binary column of little-endian float16 values.

    Args:
        column: n values of 2 * dim bytes each, none null.

    Returns:
        float32[n, dim]; float32[0, 0] where n is 0.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not len(column):
        return np.empty((0, 0), dtype=np.float32)
    wide = pa.types.is_large_binary(column.type)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if wide else np.int32)
    start, end = offsets[column.offset], offsets[column.offset + len(column)]
    halves = np.frombuffer(column.buffers()[2], dtype=np.uint8)[start:end].view("<f2")
    return halves.reshape(len(column), -1).astype(np.float32)


def to_bytes(vectors: npt.NDArray[np.floating]) -> list[bytes]:
    """Each row of float[n, dim] as little-endian float16."""
    return [row.tobytes() for row in np.ascontiguousarray(vectors, dtype="<f2")]


def from_lists(column: pa.Array) -> Float32:
    """Vectors out of a list column: float32[n, dim]; float32[0, 0] where n is 0."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not len(column):
        return np.empty((0, 0), dtype=np.float32)
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return np.asarray(values).reshape(len(column), -1)


def unit(vectors: Float32) -> Float32:
    """Vectors of length 1, float32[n, dim]; zero vectors stay zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: Float32 = (vectors / lengths[:, None]).astype(np.float32)
    return scaled


def pair_cosines(left: Float32, right: Float32) -> Float32:
    """The cosine of each pair of rows, computed in float64 and rounded once.

    Each value depends on its own two rows alone: they are multiplied out and summed along the
    row, never by a matrix product, whose order of summation varies with its shape.

    Args:
        left: float32[n, dim].
        right: float32[n, dim].

    Returns:
        float32[n]; 0 where a vector is zero.
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    dots = np.add.reduce(a * b, axis=1)
    lengths = np.sqrt(np.add.reduce(a * a, axis=1) * np.add.reduce(b * b, axis=1))
    lengths[lengths == 0] = 1
    cosines: Float32 = np.clip(dots / lengths, -1, 1).astype(np.float32)
    return cosines
