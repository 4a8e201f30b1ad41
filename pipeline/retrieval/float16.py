"""Vectors from anywhere, in float16."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.vectors import to_binary

# The greatest value of a vector is brought to at least 2**14, and below 2**15.
_EXPONENT = 15


def round_to_float16(vectors: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Vectors as the embeddings table's `half`, each first brought to a size that float16 suits.

    That is by a power of two, which changes no cosine: what float16 holds is not changed by it.

    Args:
        vectors: list<float>[n], of any lengths.

    Returns:
        binary[n], little-endian float16, null where a vector is null, empty, zero or odd; and which
        are odd, bool[n]: they hold a null, or what is not finite.
    """
    sizes = np.asarray(pc.fill_null(pc.list_value_length(vectors), 0)).astype(np.int64)
    values = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    greatest = np.zeros(len(sizes), dtype=np.float32)
    np.maximum.at(greatest, rows, np.abs(values))
    odd = ~np.isfinite(greatest)
    shift = np.where(odd | (greatest == 0), 0, _EXPONENT - np.frexp(greatest)[1])
    scaled = np.ldexp(np.where(odd[rows], np.float32(0), values), shift[rows])
    halves = to_binary(scaled.astype("<f2").view(np.uint8), 2 * sizes)
    return pc.if_else(pa.array((greatest > 0) & ~odd), halves, None), odd
