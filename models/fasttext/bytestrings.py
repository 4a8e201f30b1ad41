"""Byte strings end to end in one array, so that NumPy works on all of them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SPARE = 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
# What is left of 8 bytes, little-endian, if only the first 0, 1, ..., 8 count.
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
# Strings are taken 8 bytes at a time, so often at most: longer ones are few.
_CHUNKS = 8


@dataclass(frozen=True)
class ByteStrings:
    """n byte strings: string i is data[offsets[i]:offsets[i + 1]].

    Attributes:
        data: uint8[total + 8 or more]; so 8 bytes can be read from where any string starts.
        offsets: int64[n + 1], from 0 to total.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_list(cls, strings: Sequence[bytes]) -> "ByteStrings":
        """The same strings in one array."""
        lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
        joined = b"".join((*strings, bytes(SPARE)))
        return cls(np.frombuffer(joined, dtype=np.uint8), offsets_from_lengths(lengths))

    @classmethod
    def from_chars(
        cls, chars: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
    ) -> "ByteStrings":
        """Strings whose bytes are uint8[total], copied."""
        return cls(np.concatenate((chars, np.zeros(SPARE, dtype=np.uint8))), offsets)

    @classmethod
    def from_arrow(cls, array: pa.Array) -> "ByteStrings":
        """The strings of an Arrow array of (large) strings or binaries without nulls."""
        large = array.cast(pa.large_binary())
        _, offsets, data = large.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[large.offset : large.offset + len(large) + 1]
        every = np.frombuffer(data or b"", dtype=np.uint8)
        return cls.from_chars(every[ends[0] : ends[-1]], ends - ends[0])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to_list(self) -> list[bytes]:
        """The strings as Python's."""
        chars, ends = self.chars.tobytes(), self.offsets.tolist()
        return [chars[start:end] for start, end in pairwise(ends)]

    @property
    def chars(self) -> npt.NDArray[np.uint8]:
        """uint8[total]."""
        return self.data[: self.offsets[-1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[n], in bytes."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> "ByteStrings":
        """Strings start to stop, without a copy of their bytes."""
        offsets = self.offsets[start : stop + 1]
        return ByteStrings(self.data[offsets[0] : offsets[-1] + SPARE], offsets - offsets[0])

    def take(self, places: npt.NDArray[np.integer]) -> "ByteStrings":
        """The strings at these places, copied."""
        lengths = self.offsets[places + 1] - self.offsets[places]
        chars = self.data[expand_ranges(self.offsets[places], lengths)]
        return ByteStrings.from_chars(chars, offsets_from_lengths(lengths))

    def blocks(self, size: int) -> Iterator[tuple[int, int]]:
        """Runs (start, stop) of strings of about `size` bytes together, at least one string."""
        start = 0
        while start < len(self):
            limit = self.offsets[start] + size
            stop = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            stop = max(start + 1, min(stop, len(self)))
            yield start, stop
            start = stop

    def equal_at(
        self, places: npt.NDArray[np.int64], other: "ByteStrings", others: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """bool[k]: whether the string at each of the places is that at the other's place."""
        starts, theirs = self.offsets[places], other.offsets[others]
        lengths = self.offsets[places + 1] - starts
        same = np.asarray(lengths == other.offsets[others + 1] - theirs)
        longest = int(lengths[same].max(initial=0))
        for chunk in range(min(_CHUNKS, -(-longest // 8))):
            at = np.flatnonzero(same & (lengths > 8 * chunk))
            left = lengths[at] - 8 * chunk
            ours = self._eight(starts[at] + 8 * chunk, left)
            same[at] = ours == other._eight(theirs[at] + 8 * chunk, left)
        for long in np.flatnonzero(same & (lengths > 8 * _CHUNKS)).tolist():
            our, their = (
                strings.data[start : start + lengths[long]]
                for strings, start in ((self, starts[long]), (other, theirs[long]))
            )
            same[long] = np.array_equal(our, their)
        return same

    def _eight(
        self, starts: npt.NDArray[np.int64], left: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """The 8 bytes from each start as one number, of which only the first `left` count."""
        every = np.ndarray((len(self.data) - 7,), "<u8", self.data, strides=(1,))
        return np.asarray(every[starts] & _MASKS[np.minimum(left, 8)])

    def equal_to(self, value: bytes) -> npt.NDArray[np.bool_]:
        """bool[n]: whether each string is this one."""
        return np.asarray((self.lengths == len(value)) & self.start_with(value))

    def start_with(self, prefix: bytes) -> npt.NDArray[np.bool_]:
        """bool[n]: whether each string starts so."""
        out = np.asarray(self.lengths >= len(prefix))
        places = np.flatnonzero(out)
        starts = self.offsets[places]
        for place, byte in enumerate(prefix):
            out[places] &= self.data[starts + place] == byte
        return out

    def append(self, value: bytes) -> "ByteStrings":
        """The strings and one more, in a new array."""
        more = np.frombuffer(value, dtype=np.uint8)
        ends = np.append(self.offsets, self.offsets[-1] + len(value))
        return ByteStrings.from_chars(np.concatenate((self.chars, more)), ends)

    def hash64(self) -> npt.NDArray[np.uint64]:
        """uint64[n]: of the length, the first 64 bytes and the last 8, mixed as splitmix64 mixes.

        Part of the packed format: it must not change without a new format version.
        """
        starts, lengths = self.offsets[:-1], self.lengths
        mixed = lengths.astype(np.uint64) * _MULTIPLIER
        at = np.arange(len(self))
        for chunk in range(min(_CHUNKS, -(-int(lengths.max(initial=0)) // 8))):
            at = at[lengths[at] > 8 * chunk]
            eight = self._eight(starts[at] + 8 * chunk, lengths[at] - 8 * chunk)
            mixed[at] = (mixed[at] ^ (mixed[at] >> np.uint64(32)) ^ eight) * _MULTIPLIER
        at = np.flatnonzero(lengths > 8 * _CHUNKS)
        mixed[at] ^= self._eight(starts[at] + lengths[at] - 8, np.full(len(at), 8)) * _MULTIPLIER
        for shift, mixer in zip((30, 27), _MIXERS, strict=True):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * mixer
        return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def offsets_from_lengths(lengths: npt.NDArray[np.integer | np.bool_]) -> npt.NDArray[np.int64]:
    """int64[n + 1]: where each of n runs of these lengths starts, and where the last ends."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def expand_ranges(
    starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Every place of n runs: starts[0], starts[0] + 1, ..., starts[1], ..."""
    shifts = starts - offsets_from_lengths(lengths)[:-1]
    return np.arange(int(lengths.sum())) + np.repeat(shifts, lengths)


def encode(text: str) -> bytes:
    """The UTF-8 bytes of a token; lone surrogates stand for bytes that are not UTF-8.

    So a word of a vocabulary that is not UTF-8 is asked for as Python spells such bytes
    (surrogateescape), and no token of whatever kind raises.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
