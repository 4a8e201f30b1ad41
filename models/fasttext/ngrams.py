"""Which n-gram rows a word has.

Source: fastText's src/dictionary.cc (computeSubwords, hash, pushHash, addWordNgrams).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import SPARE, ByteStrings, expand_ranges, offsets_from_lengths

Int64s = npt.NDArray[np.int64]

END_OF_SENTENCE = b"</s>"
_FNV_START = np.uint32(2166136261)
_FNV_PRIME = np.uint32(16777619)
_WORD_NGRAM_PRIME = np.uint64(116049371)
# Beyond this length NumPy's cost a byte for the few words left is above plain Python's.
_HASHED_TOGETHER = 64


@dataclass(frozen=True)
class Ngrams:
    """The n-gram rows of a model.

    Attributes:
        minn, maxn: shortest and longest n-gram, in characters; maxn 0: none.
        bucket: what hashes are taken modulo.
        kept: int32[rows], ascending: the remainders that have a row, of a pruned model; None:
            each has.
    """

    minn: int
    maxn: int
    bucket: int
    kept: npt.NDArray[np.int32] | None

    def of_words(self, words: ByteStrings) -> tuple[Int64s, Int64s]:
        """The n-gram rows of each word, in the library's order.

        Returns:
            int64[k], rows word after word; int64[n + 1], where each word's start.
        """
        if self.maxn <= 0 or self.bucket <= 0 or len(words) == 0:
            return np.zeros(0, np.int64), np.zeros(len(words) + 1, np.int64)
        hashes, word = hash_ngrams(bracket(words), self.minn, self.maxn)
        own = ~words.equal_to(END_OF_SENTENCE)[word]
        places, exists = self.rows(hashes[own] % np.uint32(self.bucket))
        counts = np.bincount(word[own][exists], minlength=len(words))
        return places, offsets_from_lengths(counts)

    def rows(self, remainders: npt.NDArray[np.unsignedinteger]) -> tuple[Int64s, Int64s]:
        """The rows of hashes modulo bucket, and which of the k given have one.

        Returns:
            int64[m], rows; int64[m], places of the given.
        """
        wanted = remainders.astype(np.int64)
        if self.kept is None:
            return wanted, np.arange(len(wanted))
        if len(self.kept) == 0:
            return wanted[:0], wanted[:0]
        place = np.minimum(np.searchsorted(self.kept, wanted), len(self.kept) - 1)
        exists = np.flatnonzero(self.kept[place] == wanted)
        return place[exists], exists

    def of_sentences(
        self, hashes: npt.NDArray[np.uint32], offsets: Int64s, longest: int
    ) -> tuple[Int64s, Int64s]:
        """The rows of a supervised model's word n-grams, of 2 to `longest` words.

        Args:
            hashes: uint32[k], each word's `hash32`, sentence after sentence.
            offsets: int64[n + 1], where each sentence starts.
            longest: the model's wordNgrams.

        Returns:
            int64[m], rows in the library's order; int64[n + 1], where each sentence's start.
        """
        # The library adds hashes to 64 bits as *signed* 32-bit numbers.
        wide = hashes.view(np.int32).astype(np.int64).view(np.uint64)
        ends = np.repeat(offsets[1:], np.diff(offsets))
        alive, rolled = np.arange(len(wide)), wide.copy()
        places, starts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for n in range(1, longest):
            alive = alive[alive + n < ends[alive]]
            if len(alive) == 0:
                break
            rolled[alive] = rolled[alive] * _WORD_NGRAM_PRIME + wide[alive + n]
            found, exists = self.rows(rolled[alive] % np.uint64(self.bucket))
            places.append(found)
            starts.append(alive[exists])
        start = np.concatenate(starts)
        counts = np.bincount(start, minlength=len(wide))
        order = np.argsort(start, kind="stable")
        return np.concatenate(places)[order], offsets_from_lengths(counts)[offsets]


def hash32(words: ByteStrings) -> npt.NDArray[np.uint32]:
    """uint32[n]: fastText's hash of whole words, FNV-1a over bytes taken as signed."""
    signed = _signed(words.chars)
    hashes = np.full(len(words), _FNV_START)
    starts, lengths = words.offsets[:-1], words.lengths
    alive = np.flatnonzero(lengths > 0)
    for place in range(min(_HASHED_TOGETHER, int(lengths.max(initial=0)))):
        alive = alive[lengths[alive] > place]
        hashes[alive] = (hashes[alive] ^ signed[starts[alive] + place]) * _FNV_PRIME
    for word in np.flatnonzero(lengths > _HASHED_TOGETHER):
        value = int(hashes[word])
        for byte in signed[starts[word] + _HASHED_TOGETHER : starts[word] + lengths[word]].tolist():
            value = (value ^ byte) * 16777619 & 0xFFFFFFFF
        hashes[word] = value
    return hashes


def _signed(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    return data.view(np.int8).astype(np.int32).view(np.uint32)


def bracket(words: ByteStrings) -> ByteStrings:
    """Each word between < and >."""
    offsets = words.offsets + 2 * np.arange(len(words) + 1)
    data = np.zeros(int(offsets[-1]) + SPARE, dtype=np.uint8)
    data[expand_ranges(offsets[:-1] + 1, words.lengths)] = words.chars
    data[offsets[:-1]] = ord("<")
    data[offsets[1:] - 1] = ord(">")
    return ByteStrings(data, offsets)


def hash_ngrams(words: ByteStrings, minn: int, maxn: int) -> tuple[npt.NDArray[np.uint32], Int64s]:
    """Hashes of all n-grams of bracketed words by start and length, and each one's word."""
    starts = np.flatnonzero((words.chars & 0xC0) != 0x80)
    sizes = np.diff(starts, append=len(words.chars))
    first = np.searchsorted(starts, words.offsets)
    word = np.repeat(np.arange(len(words)), np.diff(first))
    end = first[1:][word]
    signed = _signed(words.chars)
    rolled = np.full(len(starts), _FNV_START)
    shortest, longest = max(minn, 1), min(maxn, int(np.diff(first).max()))
    hashes = np.zeros((len(starts), max(longest - shortest + 1, 0)), dtype=np.uint32)
    emitted = np.zeros(hashes.shape, dtype=bool)
    alive = np.arange(len(starts))
    for n in range(1, longest + 1):
        alive = alive[alive + n <= end[alive]]
        _append_character(rolled, alive, starts[alive + n - 1], sizes[alive + n - 1], signed)
        if n >= shortest:
            hashes[alive, n - shortest] = rolled[alive]
            emitted[alive, n - shortest] = True
    if shortest == 1 <= longest:
        # A boundary mark alone is no n-gram.
        emitted[first[:-1], 0] = emitted[first[1:] - 1, 0] = False
    return hashes[emitted], np.repeat(word, emitted.sum(axis=1))


def _append_character(
    rolled: npt.NDArray[np.uint32],
    which: Int64s,
    starts: Int64s,
    sizes: Int64s,
    signed: npt.NDArray[np.uint32],
) -> None:
    """Take one more character, of 1 to 4 bytes, into the hashes at `which`."""
    for place in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        chosen = which[longer]
        rolled[chosen] = (rolled[chosen] ^ signed[starts[longer] + place]) * _FNV_PRIME
