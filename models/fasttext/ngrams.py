"""The n-gram rows of words and sentences.

Source: fastText's src/dictionary.cc (computeSubwords, hash, pushHash, addWordNgrams).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import (
    PADDING_BYTES,
    ByteStrings,
    expand_ranges,
    offsets_from_lengths,
)

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]

END_OF_SENTENCE = b"</s>"
_FNV_START = np.uint32(2166136261)
_FNV_PRIME = np.uint32(16777619)
_WORD_NGRAM_PRIME = np.uint64(116049371)
# From this length on few words are left, and plain Python is faster for them than NumPy.
_VECTORIZED_BYTES = 64


@dataclass(frozen=True)
class Ngrams:
    """The n-gram rows of a model.

    Attributes:
        minn, maxn: shortest and longest n-gram, in characters; maxn 0 if there are none.
        bucket: number of remainders of n-gram hashes.
        kept_ngrams: int32[rows], ascending, the remainders that a pruned model has rows for; None
            if each remainder has a row.
    """

    minn: int
    maxn: int
    bucket: int
    kept_ngrams: npt.NDArray[np.int32] | None

    def word_rows(self, words: ByteStrings) -> tuple[Int64s, Int64s]:
        """Return the n-gram rows of each word, in the library's order.

        Returns:
            int64[k], rows, word after word; int64[n + 1], where each word's rows start and the
            last one's end.
        """
        if self.maxn <= 0 or self.bucket <= 0 or len(words) == 0:
            return np.zeros(0, np.int64), np.zeros(len(words) + 1, np.int64)
        hashes, word = hash_ngrams(bracket(words), self.minn, self.maxn)
        # The end of a sentence has no n-grams.
        has_ngrams = ~words.equal_to(END_OF_SENTENCE)[word]
        rows, with_row = self.rows(hashes[has_ngrams] % np.uint32(self.bucket))
        counts = np.bincount(word[has_ngrams][with_row], minlength=len(words))
        return rows, offsets_from_lengths(counts)

    def rows(self, remainders: npt.NDArray[np.unsignedinteger]) -> tuple[Int64s, Int64s]:
        """Return the rows of hashes modulo bucket.

        Args:
            remainders: uint[k].

        Returns:
            int64[m], rows; int64[m], the indices of the remainders that have one.
        """
        numbers = remainders.astype(np.int64)
        if self.kept_ngrams is None:
            return numbers, np.arange(len(numbers))
        if len(self.kept_ngrams) == 0:
            return numbers[:0], numbers[:0]
        row = np.searchsorted(self.kept_ngrams, numbers)
        row = np.minimum(row, len(self.kept_ngrams) - 1)
        with_row = np.flatnonzero(self.kept_ngrams[row] == numbers)
        return row[with_row], with_row

    def sentence_rows(
        self, hashes: UInt32s, offsets: Int64s, longest: int
    ) -> tuple[Int64s, Int64s]:
        """Return the rows of a supervised model's word n-grams, of 2 to `longest` words.

        Args:
            hashes: uint32[k], `hash32` of the words, sentence after sentence.
            offsets: int64[n + 1], where each sentence starts and the last one ends.
            longest: the model's wordNgrams.

        Returns:
            int64[m], rows in the library's order; int64[n + 1], where each sentence's rows start
            and the last one's end.
        """
        # The library adds hashes to 64 bits as *signed* 32-bit numbers.
        wide = hashes.view(np.int32).astype(np.int64).view(np.uint64)
        ends = np.repeat(offsets[1:], np.diff(offsets))
        active, rolling = np.arange(len(wide)), wide.copy()
        row_parts, start_parts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for n in range(1, longest):
            active = active[active + n < ends[active]]
            if len(active) == 0:
                break
            rolling[active] = rolling[active] * _WORD_NGRAM_PRIME + wide[active + n]
            rows, with_row = self.rows(rolling[active] % np.uint64(self.bucket))
            row_parts.append(rows)
            start_parts.append(active[with_row])
        starts = np.concatenate(start_parts)
        counts = np.bincount(starts, minlength=len(wide))
        order = np.argsort(starts, kind="stable")
        return np.concatenate(row_parts)[order], offsets_from_lengths(counts)[offsets]


def hash32(words: ByteStrings) -> UInt32s:
    """Return fastText's hash of whole words, FNV-1a over bytes read as signed: uint32[n]."""
    signed = _signed(words.chars)
    hashes = np.full(len(words), _FNV_START)
    starts, lengths = words.offsets[:-1], words.lengths
    active = np.flatnonzero(lengths > 0)
    for position in range(min(_VECTORIZED_BYTES, int(lengths.max(initial=0)))):
        active = active[lengths[active] > position]
        hashes[active] = (hashes[active] ^ signed[starts[active] + position]) * _FNV_PRIME
    for word in np.flatnonzero(lengths > _VECTORIZED_BYTES):
        value = int(hashes[word])
        rest = signed[starts[word] + _VECTORIZED_BYTES : starts[word] + lengths[word]]
        for byte in rest.tolist():
            value = (value ^ byte) * 16777619 & 0xFFFFFFFF
        hashes[word] = value
    return hashes


def _signed(data: npt.NDArray[np.uint8]) -> UInt32s:
    return data.view(np.int8).astype(np.int32).view(np.uint32)


def bracket(words: ByteStrings) -> ByteStrings:
    """Return each word between < and >."""
    offsets = words.offsets + 2 * np.arange(len(words) + 1)
    data = np.zeros(int(offsets[-1]) + PADDING_BYTES, dtype=np.uint8)
    data[expand_ranges(offsets[:-1] + 1, words.lengths)] = words.chars
    data[offsets[:-1]] = ord("<")
    data[offsets[1:] - 1] = ord(">")
    return ByteStrings(data, offsets)


def hash_ngrams(words: ByteStrings, minn: int, maxn: int) -> tuple[UInt32s, Int64s]:
    """Hash all n-grams of bracketed words.

    Returns:
        uint32[k], hashes ordered by word, start and length; int64[k], the word of each.
    """
    starts = np.flatnonzero((words.chars & 0xC0) != 0x80)
    sizes = np.diff(starts, append=len(words.chars))
    first = np.searchsorted(starts, words.offsets)
    word = np.repeat(np.arange(len(words)), np.diff(first))
    end = first[1:][word]
    signed = _signed(words.chars)
    rolling = np.full(len(starts), _FNV_START)
    shortest, longest = max(minn, 1), min(maxn, int(np.diff(first).max()))
    hashes = np.zeros((len(starts), max(longest - shortest + 1, 0)), dtype=np.uint32)
    is_ngram = np.zeros(hashes.shape, dtype=bool)
    active = np.arange(len(starts))
    for n in range(1, longest + 1):
        active = active[active + n <= end[active]]
        _append_character(rolling, active, starts[active + n - 1], sizes[active + n - 1], signed)
        if n >= shortest:
            hashes[active, n - shortest] = rolling[active]
            is_ngram[active, n - shortest] = True
    if shortest == 1 <= longest:
        # A boundary mark alone is not an n-gram.
        is_ngram[first[:-1], 0] = is_ngram[first[1:] - 1, 0] = False
    return hashes[is_ngram], np.repeat(word, is_ngram.sum(axis=1))


def _append_character(
    hashes: UInt32s, indices: Int64s, starts: Int64s, sizes: Int64s, signed: UInt32s
) -> None:
    """Add one more character, of 1 to 4 bytes, to the hashes at `indices`, in place."""
    for position in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > position)
        at = indices[longer]
        hashes[at] = (hashes[at] ^ signed[starts[longer] + position]) * _FNV_PRIME
