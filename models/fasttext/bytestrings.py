"""Byte strings end to end in one array, so that NumPy works on all of them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.hashing import GOLDEN_GAMMA, Hashes, mix64

Int64s = npt.NDArray[np.int64]

# Zeros after the last string.
PADDING_BYTES = 8
# Masks of the first 0, 1, ..., 8 bytes of a little-endian number.
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
# Strings are read as numbers of 8 bytes, of which at most so many: longer strings are few.
_MAX_CHUNKS = 8


@dataclass(frozen=True)
class ByteStrings:
    """n byte strings. String i is data[offsets[i]:offsets[i + 1]].

    Attributes:
        data: uint8[total + 8 or more], so that 8 bytes can be read from the start of any string.
        offsets: int64[n + 1], from 0 to total.
    """

    data: npt.NDArray[np.uint8]
    offsets: Int64s

    @classmethod
    def from_list(cls, strings: Sequence[bytes]) -> "ByteStrings":
        """Copy Python byte strings into one array."""
        lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
        joined = b"".join((*strings, bytes(PADDING_BYTES)))
        return cls(np.frombuffer(joined, dtype=np.uint8), offsets_from_lengths(lengths))

    @classmethod
    def from_chars(cls, chars: npt.NDArray[np.uint8], offsets: Int64s) -> "ByteStrings":
        """Copy strings whose bytes are uint8[total]."""
        return cls(np.concatenate((chars, np.zeros(PADDING_BYTES, dtype=np.uint8))), offsets)

    @classmethod
    def from_arrow(cls, array: pa.Array) -> "ByteStrings":
        """Copy an Arrow array of (large) strings or binaries without nulls."""
        large = array.cast(pa.large_binary())
        _, offsets, data = large.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[large.offset : large.offset + len(large) + 1]
        chars = np.frombuffer(data or b"", dtype=np.uint8)
        return cls.from_chars(chars[ends[0] : ends[-1]], ends - ends[0])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to_list(self) -> list[bytes]:
        """Return the strings as Python byte strings."""
        chars, ends = self.chars.tobytes(), self.offsets.tolist()
        return [chars[start:end] for start, end in pairwise(ends)]

    @property
    def chars(self) -> npt.NDArray[np.uint8]:
        """uint8[total], the bytes without the padding."""
        return self.data[: self.offsets[-1]]

    @property
    def lengths(self) -> Int64s:
        """int64[n], in bytes."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> "ByteStrings":
        """Return the strings from start to stop, without a copy of their bytes."""
        offsets = self.offsets[start : stop + 1]
        data = self.data[offsets[0] : offsets[-1] + PADDING_BYTES]
        return ByteStrings(data, offsets - offsets[0])

    def take(self, indices: npt.NDArray[np.integer]) -> "ByteStrings":
        """Copy the strings at these indices."""
        lengths = self.offsets[indices + 1] - self.offsets[indices]
        chars = self.data[expand_ranges(self.offsets[indices], lengths)]
        return ByteStrings.from_chars(chars, offsets_from_lengths(lengths))

    def blocks(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield ranges (start, stop) of strings that take about `size` bytes together."""
        return block_ranges(self.offsets, size)

    def equal_at(
        self, indices: Int64s, other: "ByteStrings", other_indices: Int64s
    ) -> npt.NDArray[np.bool_]:
        """Compare pairs of strings, one of these and one of the others: bool[k]."""
        starts, other_starts = self.offsets[indices], other.offsets[other_indices]
        lengths = self.offsets[indices + 1] - starts
        same = np.asarray(lengths == other.offsets[other_indices + 1] - other_starts)
        longest = int(lengths[same].max(initial=0))
        for chunk in range(min(_MAX_CHUNKS, -(-longest // 8))):
            at = np.flatnonzero(same & (lengths > 8 * chunk))
            left = lengths[at] - 8 * chunk
            numbers = _read_numbers(self.data, starts[at] + 8 * chunk, left)
            same[at] = numbers == _read_numbers(other.data, other_starts[at] + 8 * chunk, left)
        for pair in np.flatnonzero(same & (lengths > 8 * _MAX_CHUNKS)).tolist():
            first, second = (
                data[start : start + lengths[pair]]
                for data, start in ((self.data, starts[pair]), (other.data, other_starts[pair]))
            )
            same[pair] = np.array_equal(first, second)
        return same

    def equal_to(self, value: bytes) -> npt.NDArray[np.bool_]:
        """Compare each string with one value: bool[n]."""
        return np.asarray((self.lengths == len(value)) & self.start_with(value))

    def start_with(self, prefix: bytes) -> npt.NDArray[np.bool_]:
        """Return whether each string starts with the prefix: bool[n]."""
        out = np.asarray(self.lengths >= len(prefix))
        indices = np.flatnonzero(out)
        starts = self.offsets[indices]
        for position, byte in enumerate(prefix):
            out[indices] &= self.data[starts + position] == byte
        return out

    def append(self, value: bytes) -> "ByteStrings":
        """Return the strings and one more, in a new array."""
        chars = np.frombuffer(value, dtype=np.uint8)
        ends = np.append(self.offsets, self.offsets[-1] + len(value))
        return ByteStrings.from_chars(np.concatenate((self.chars, chars)), ends)

    def hash64(self) -> Hashes:
        """Hash the length, the first 64 bytes and the last 8 of each string: uint64[n].

        The hash is part of the packed format: another one needs a new format version.
        """
        starts, lengths = self.offsets[:-1], self.lengths
        mixed = lengths.astype(np.uint64) * GOLDEN_GAMMA
        at = np.arange(len(self))
        for chunk in range(min(_MAX_CHUNKS, -(-int(lengths.max(initial=0)) // 8))):
            at = at[lengths[at] > 8 * chunk]
            numbers = _read_numbers(self.data, starts[at] + 8 * chunk, lengths[at] - 8 * chunk)
            mixed[at] = (mixed[at] ^ (mixed[at] >> np.uint64(32)) ^ numbers) * GOLDEN_GAMMA
        at = np.flatnonzero(lengths > 8 * _MAX_CHUNKS)
        last = _read_numbers(self.data, starts[at] + lengths[at] - 8, np.full(len(at), 8))
        mixed[at] ^= last * GOLDEN_GAMMA
        return mix64(mixed)


def _read_numbers(data: npt.NDArray[np.uint8], starts: Int64s, sizes: Int64s) -> Hashes:
    """Read 8 bytes from each start as a little-endian number, bytes beyond the size as zero."""
    numbers = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    return np.asarray(numbers[starts] & _MASKS[np.minimum(sizes, 8)])


def offsets_from_lengths(lengths: npt.NDArray[np.integer | np.bool_]) -> Int64s:
    """Return where each of n segments starts and the last one ends: int64[n + 1]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def expand_ranges(starts: Int64s, lengths: Int64s) -> Int64s:
    """Return the numbers of n ranges: starts[0], starts[0] + 1, ..., starts[1], ..."""
    shifts = starts - offsets_from_lengths(lengths)[:-1]
    return np.arange(int(lengths.sum())) + np.repeat(shifts, lengths)


def block_ranges(offsets: Int64s, size: int) -> Iterator[tuple[int, int]]:
    """Cut segments into blocks of about `size` elements.

    Args:
        offsets: int64[n + 1], where each segment starts and the last one ends.
        size: elements of a block. A segment that has more is a block of its own.

    Yields:
        (start, stop): the segments of a block.
    """
    start, total = 0, len(offsets) - 1
    while start < total:
        limit = offsets[start] + size
        stop = int(np.searchsorted(offsets, limit, side="right")) - 1
        stop = min(max(stop, start + 1), total)
        yield start, stop
        start = stop


def encode(text: str) -> bytes:
    """Return the UTF-8 bytes of a token. It never raises.

    Lone surrogates stand for bytes that are not UTF-8, as Python spells them (surrogateescape),
    so a word of a vocabulary that is not UTF-8 can be looked up.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
