"""A digest of rows that both PostgreSQL and NumPy compute: the sum of their 64-bit hashes.

It shows that a table on the server has exactly the store's rows, without sending them back. The
server computes its sum with its own function hashtextextended(), so the store's side must compute
that very function: hash_bytes_extended() in PostgreSQL's src/common/hashfn.c, a variant of Bob
Jenkins' lookup3 (2006, https://burtleburtle.net/bob/c/lookup3.c) with a seed and a result of 64
bits. `hashes` follows that code as it runs on a little-endian machine, for many texts at once.

A row is hashed as the text item_id, rank, similar_id, with U+001F between them. The seed is the
score in units of 2**-30, rounded; a score that is null counts as 2, which no cosine is.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR = "\x1f"
_SCORE_UNITS = 2.0**30
# Bytes of a block: three words of 32 bits.
_BLOCK = 12
# Texts and seeds that show whether a server's function is this one.
PROBES: tuple[tuple[str, int], ...] = (
    ("", 0),
    ("nitamono", 0),
    ("似たもの, twelve bytes and more", -7),
)
# The hash of a row, as the server computes it.
SQL = (
    "hashtextextended(item_id || chr(31) || rank || chr(31) || similar_id, "
    "(coalesce(score, 2)::float8 * 1073741824)::bigint)"
)
# Row n masks all but the first n bytes of a block.
_MASKS = np.where(np.arange(_BLOCK) < np.arange(_BLOCK + 1)[:, None], 255, 0).astype(np.uint8)
_Words = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Digest:
    """Sums over rows; the digests of parts of a table add up to the table's.

    Attributes:
        rows: number of rows.
        items: number of items, counted by their first rank.
        hash_sum: sum of the rows' hashes, modulo 2**64.
    """

    rows: int = 0
    items: int = 0
    hash_sum: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        hash_sum = (self.hash_sum + other.hash_sum) % 2**64
        return Digest(self.rows + other.rows, self.items + other.items, hash_sum)


def row_digest(rows: pa.RecordBatch | pa.Table) -> Digest:
    """The digest of rows of similar_items."""
    ranks = rows.column("rank")
    scores = pc.fill_null(rows.column("score"), 2.0).to_numpy().astype(np.float64)
    text = pc.binary_join_element_wise(
        rows.column("item_id"), ranks.cast(pa.string()), rows.column("similar_id"), _SEPARATOR
    )
    hash_sum = int(
        hashes(text, np.rint(scores * _SCORE_UNITS).astype(np.int64)).sum(dtype=np.uint64)
    )
    items = pc.sum(pc.equal(ranks, 1)).as_py() or 0
    return Digest(rows.num_rows, items, hash_sum)


def hashes(texts: pa.Array, seeds: np.ndarray) -> np.ndarray:
    """PostgreSQL's hashtextextended() of each text.

    Args:
        texts: string[n], without nulls.
        seeds: int64[n].

    Returns:
        uint64[n].
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = texts.cast(pa.large_string())
    count = len(texts)
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + count + 1]
    starts, lengths = ends[:-1], np.diff(ends)
    # Padding: a whole block is read at the end of the last text too.
    content = np.concatenate(
        [np.frombuffer(data or b"", np.uint8)[: ends[-1]], np.zeros(_BLOCK, np.uint8)]
    )
    initial = np.uint32(0x9E3779B9) + lengths.astype(np.uint32) + np.uint32(3923095)
    a, b, c = _mix_seeds(initial, seeds)
    for block in range(int(lengths.max(initial=0)) // _BLOCK):
        # The texts that have this block in full.
        rows = np.flatnonzero(lengths >= (block + 1) * _BLOCK)
        x, y, z = _read_words(content, starts[rows] + block * _BLOCK, np.full(len(rows), _BLOCK))
        a[rows], b[rows], c[rows] = _mix((a[rows] + x, b[rows] + y, c[rows] + z))
    tails = lengths % _BLOCK
    x, y, z = _read_words(content, ends[1:] - tails, tails)
    # The lowest byte of the third word is reserved for the length.
    a, b, c = _final((a + x, b + y, c + (z << np.uint32(8))))
    return (b.astype(np.uint64) << np.uint64(32)) | c


def _mix_seeds(initial: np.ndarray, seeds: np.ndarray) -> _Words:
    """The three words of state with the seeds mixed in; a seed of 0 leaves them as they are."""
    bits = seeds.view(np.uint64)
    high, low = (bits >> np.uint64(32)).astype(np.uint32), bits.astype(np.uint32)
    a, b, c = (
        np.where(seeds != 0, word, initial)
        for word in _mix((initial + high, initial + low, initial))
    )
    return a, b, c


def _read_words(content: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> _Words:
    """Three little-endian words from each start on, zero beyond the length."""
    blocks = np.lib.stride_tricks.sliding_window_view(content, _BLOCK)[starts]
    blocks &= _MASKS[lengths]
    words = blocks.view("<u4")
    return words[:, 0], words[:, 1], words[:, 2]


def _rotate(word: np.ndarray, bits: int) -> np.ndarray:
    """Rotate to the left: rot() of lookup3."""
    return (word << np.uint32(bits)) | (word >> np.uint32(32 - bits))


def _mix(words: _Words) -> _Words:
    """mix() of lookup3: after each block but the last."""
    a, b, c = words
    a = (a - c) ^ _rotate(c, 4)
    c = c + b
    b = (b - a) ^ _rotate(a, 6)
    a = a + c
    c = (c - b) ^ _rotate(b, 8)
    b = b + a
    a = (a - c) ^ _rotate(c, 16)
    c = c + b
    b = (b - a) ^ _rotate(a, 19)
    a = a + c
    c = (c - b) ^ _rotate(b, 4)
    b = b + a
    return a, b, c


def _final(words: _Words) -> _Words:
    """final() of lookup3: after the last block."""
    a, b, c = words
    c = (c ^ b) - _rotate(b, 14)
    a = (a ^ c) - _rotate(c, 11)
    b = (b ^ a) - _rotate(a, 25)
    c = (c ^ b) - _rotate(b, 16)
    a = (a ^ c) - _rotate(c, 4)
    b = (b ^ a) - _rotate(a, 14)
    c = (c ^ b) - _rotate(b, 24)
    return a, b, c


def probe_hashes() -> list[int]:
    """The hashes of the probes, as they are computed here."""
    texts, seeds = zip(*PROBES, strict=True)
    return [int(value) for value in hashes(pa.array(list(texts)), np.array(seeds, np.int64))]
