"""Vectors as they travel between stages (float16 in binary columns), their norms and cosines."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_NO_ROWS = np.empty((0, 0), dtype=np.float16)
# Pairs of vectors that are multiplied at a time: rows and products fit into a core's second cache.
_PAIR_BLOCK = 128


def from_bytes(column: pa.Array | pa.ChunkedArray) -> Float32:
    """Read vectors from a binary column of little-endian float16 values.

    Args:
        column: n values of 2 * dim bytes each, none null.

    Returns:
        float32[n, dim]; float32[0, 0] if n is 0.
    """
    return float16_rows(column).astype(np.float32)


def float16_rows(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float16]:
    """Read the same column as float16[n, dim]; no copy is made if the column is one chunk."""
    if isinstance(column, pa.ChunkedArray):
        # Not as one array of Arrow, which holds 2 GiB at most.
        parts = [float16_rows(chunk) for chunk in column.chunks if len(chunk)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [_NO_ROWS])
    if not len(column):
        return _NO_ROWS
    values = binary_values(column).view("<f2")
    return values.reshape(len(column), -1)


def binary_values(column: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all values of a binary column, concatenated."""
    is_large = pa.types.is_large_binary(column.type)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if is_large else np.int32)
    start, end = offsets[column.offset], offsets[column.offset + len(column)]
    data = column.buffers()[2]
    return np.frombuffer(b"" if data is None else data, dtype=np.uint8)[start:end]


def to_bytes(vectors: npt.NDArray[np.floating]) -> pa.Array:
    """Write float[n, dim] as a binary column: each row in little-endian float16."""
    rows = np.ascontiguousarray(vectors, dtype="<f2")
    return to_binary(rows.reshape(-1).view(np.uint8), np.full(len(rows), 2 * rows.shape[1]))


def to_binary(values: npt.NDArray[np.uint8], sizes: npt.NDArray[np.integer]) -> pa.Array:
    """Cut concatenated bytes into a binary column whose values have these sizes in bytes."""
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), len(sizes), buffers)


# Vectors that are hashed at a time.
_HASH_BLOCK = 256
# Odd factors of the hash below, one for each dimension.
_FACTORS = np.random.default_rng(0).integers(1, 1 << 62, size=4096, dtype=np.int64) | 1


def hash_vectors(column: pa.Array) -> npt.NDArray[np.int64]:
    """Hash each vector's bytes: int64[n], not negative."""
    bits = float16_rows(column).view(np.uint16)
    factors = np.resize(_FACTORS, bits.shape[1])
    sums = np.empty(len(bits), dtype=np.int64)
    # In blocks that fit into the processor's cache.
    for start in range(0, len(bits), _HASH_BLOCK):
        block = slice(start, start + _HASH_BLOCK)
        sums[block] = bits[block].astype(np.int64) @ factors
    hashes: npt.NDArray[np.int64] = (sums >> 17) & (2**46 - 1)
    return hashes


def unit_vectors(vectors: Float32, squared: Float64 | None = None) -> Float32:
    """Scale each row to length 1: float32[n, dim]; zero vectors stay zero.

    Args:
        vectors: float32[n, dim].
        squared: their `squared_norms`, if they are known.
    """
    own = lengths(squared_norms(vectors) if squared is None else squared)
    scaled: Float32 = vectors * (1 / own).astype(np.float32)[:, None]
    return scaled


def lengths(squared: Float64) -> Float64:
    """The length of each row, of its `squared_norms`; 1 for zero vectors: one can divide by it."""
    own: Float64 = np.sqrt(squared)
    own[own == 0] = 1
    return own


def squared_norms(vectors: Float32) -> Float64:
    """The squared length of each row, float64[n]: an input of `cosines`.

    The sums are exact, in any order, for float16 values and lengths below 5.
    """
    sums: Float64 = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return sums


def error_bound(dim: int) -> np.float32:
    """A bound of the difference of two float32 products of unit vectors, and then some."""
    return np.float32((dim + 8) * 2.0**-22)


def cosines(
    left: tuple[Float32, Float64],
    right: tuple[Float32, Float64],
    left_rows: npt.NDArray[np.integer],
    right_rows: npt.NDArray[np.integer],
) -> Float32:
    """The cosine of pairs of float16 vectors, summed in float64 and rounded to float32 once.

    A product of two float16 values is exact in float32. Each pair is multiplied and summed along
    its own row, never by a matrix product, whose order of summation depends on its shape. So the
    cosine depends on the two vectors alone, not on the batch that they are in.

    Args:
        left: float32[n, dim] with values that float16 holds, and its `squared_norms`.
        right: float32[m, dim] likewise, and its `squared_norms`.
        left_rows: int[pairs], the row of `left` of each pair.
        right_rows: int[pairs], the row of `right` of each pair.

    Returns:
        float32[pairs]; 0 if one of the vectors is zero.
    """
    dots = np.empty(len(left_rows), dtype=np.float64)
    for start in range(0, len(left_rows), _PAIR_BLOCK):
        block = slice(start, start + _PAIR_BLOCK)
        products = left[0].take(left_rows[block], axis=0)
        products *= right[0].take(right_rows[block], axis=0)
        np.add.reduce(products.astype(np.float64), axis=1, out=dots[block])
    lengths = np.sqrt(left[1][left_rows] * right[1][right_rows])
    lengths[lengths == 0] = 1
    # Adding 0 turns -0.0 into 0.0.
    rounded: Float32 = np.clip(dots / lengths, -1, 1).astype(np.float32) + np.float32(0)
    return rounded
