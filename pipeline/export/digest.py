"""A digest of rows that PostgreSQL and NumPy both compute: sums of its hashtextextended().

That function is Bob Jenkins' lookup3 (2006) over the bytes; see hash_bytes_extended in
PostgreSQL's src/common/hashfn.c, little-endian. A row's text is item_id, rank and similar_id with
U+001F between, its seed the score in units of 2**-30, rounded.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR = "\x1f"
_UNIT = 2.0**30
_WORDS = 3
_BLOCK = 4 * _WORDS
# Texts and seeds by which it is seen whether a server's function is this one.
PROBES: tuple[tuple[str, int], ...] = (
    ("", 0),
    ("nitamono", 0),
    ("似たもの, twelve bytes and more", -7),
)
SQL = (
    "hashtextextended(item_id || chr(31) || rank || chr(31) || similar_id, "
    "(score::float8 * 1073741824)::bigint)"
)
# Row n keeps the first n bytes of a block.
_MASKS = np.where(np.arange(_BLOCK) < np.arange(_BLOCK + 1)[:, None], 255, 0).astype(np.uint8)
_Words = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Digest:
    """Sums over rows; those of parts add up.

    Attributes:
        rows: how many.
        items: how many begin in them.
        total: of the rows' hashes, modulo 2**64.
    """

    rows: int = 0
    items: int = 0
    total: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        total = (self.total + other.total) % 2**64
        return Digest(self.rows + other.rows, self.items + other.items, total)


def of(rows: pa.RecordBatch | pa.Table) -> Digest:
    """The digest of rows of similar_items."""
    ranks = rows.column("rank")
    scores = rows.column("score").to_numpy().astype(np.float64)
    text = pc.binary_join_element_wise(
        rows.column("item_id"), ranks.cast(pa.string()), rows.column("similar_id"), _SEPARATOR
    )
    total = int(hashes(text, np.rint(scores * _UNIT).astype(np.int64)).sum(dtype=np.uint64))
    items = pc.sum(pc.equal(ranks, 1)).as_py() or 0
    return Digest(rows.num_rows, items, total)


def hashes(texts: pa.Array, seeds: np.ndarray) -> np.ndarray:
    """hashtextextended() of texts without nulls: uint64[n]; seeds int64[n]."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = texts.cast(pa.large_string())
    count = len(texts)
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + count + 1]
    starts, lengths = ends[:-1], np.diff(ends)
    # So that the last block of the last text can be read whole.
    content = np.concatenate(
        [np.frombuffer(data or b"", np.uint8)[: ends[-1]], np.zeros(_BLOCK, np.uint8)]
    )
    first = np.uint32(0x9E3779B9) + lengths.astype(np.uint32) + np.uint32(3923095)
    a, b, c = first.copy(), first.copy(), first.copy()
    seeded = seeds != 0
    bits = seeds.view(np.uint64)
    high, low = (bits >> np.uint64(32)).astype(np.uint32), bits.astype(np.uint32)
    mixed = _mix((a + high, b + low, c))
    a, b, c = (np.where(seeded, new, old) for new, old in zip(mixed, (a, b, c), strict=True))
    for block in range(int(lengths.max(initial=0)) // _BLOCK):
        at = np.flatnonzero(lengths >= (block + 1) * _BLOCK)
        x, y, z = _read(content, starts[at] + block * _BLOCK, np.full(len(at), _BLOCK))
        a[at], b[at], c[at] = _mix((a[at] + x, b[at] + y, c[at] + z))
    left = lengths % _BLOCK
    x, y, z = _read(content, ends[1:] - left, left)
    # The lowest byte of the last word is the length's.
    a, b, c = _final((a + x, b + y, c + (z << np.uint32(8))))
    return (b.astype(np.uint64) << np.uint64(32)) | c


def _read(content: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> _Words:
    """Three little-endian words from each start on, zero beyond the length."""
    found = np.lib.stride_tricks.sliding_window_view(content, _BLOCK)[starts]
    found &= _MASKS[lengths]
    words = found.view("<u4")
    return words[:, 0], words[:, 1], words[:, 2]


def _rotated(word: np.ndarray, by: int) -> np.ndarray:
    return (word << np.uint32(by)) | (word >> np.uint32(32 - by))


def _mix(words: _Words) -> _Words:
    a, b, c = words
    a = (a - c) ^ _rotated(c, 4)
    c = c + b
    b = (b - a) ^ _rotated(a, 6)
    a = a + c
    c = (c - b) ^ _rotated(b, 8)
    b = b + a
    a = (a - c) ^ _rotated(c, 16)
    c = c + b
    b = (b - a) ^ _rotated(a, 19)
    a = a + c
    c = (c - b) ^ _rotated(b, 4)
    b = b + a
    return a, b, c


def _final(words: _Words) -> _Words:
    a, b, c = words
    c = (c ^ b) - _rotated(b, 14)
    a = (a ^ c) - _rotated(c, 11)
    b = (b ^ a) - _rotated(a, 25)
    c = (c ^ b) - _rotated(b, 16)
    a = (a ^ c) - _rotated(c, 4)
    b = (b ^ a) - _rotated(a, 14)
    c = (c ^ b) - _rotated(b, 24)
    return a, b, c


def probes() -> list[int]:
    """The hashes of the probes."""
    texts, seeds = zip(*PROBES, strict=True)
    return [int(one) for one in hashes(pa.array(list(texts)), np.array(seeds, np.int64))]
