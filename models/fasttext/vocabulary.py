"""A vocabulary that is looked up in arrays: nothing is built when a process starts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings

_HASHED_BYTES = 1 << 22


@dataclass(frozen=True)
class Vocabulary:
    """Words and their open-addressing table.

    Attributes:
        words: n words.
        hashes: uint64[n], the words' `hash64`.
        table: int32[2^k], words by hash with linear probing; -1: free.
    """

    words: ByteStrings
    hashes: npt.NDArray[np.uint64]
    table: npt.NDArray[np.int32]

    @classmethod
    def build(cls, words: ByteStrings) -> "Vocabulary":
        """Hash the words and fill the table; of equal words the first is found."""
        hashes = np.concatenate(
            [np.zeros(0, np.uint64)]
            + [words.slice(*run).hash64() for run in words.blocks(_HASHED_BYTES)]
        )
        # A quarter full at most: most searches then end at their first place.
        table = np.full(4 << len(words).bit_length(), -1, dtype=np.int32)
        pending = np.arange(len(words))
        slots = _slots(hashes, len(table))
        while len(pending):
            free = table[slots] < 0
            # Of words that want one slot the first gets it: assigned last.
            table[slots[free][::-1]] = pending[free][::-1]
            placed = table[slots] == pending
            pending = pending[~placed]
            slots = (slots[~placed] + 1) % len(table)
        return cls(words, hashes, table)

    def find(self, tokens: ByteStrings) -> npt.NDArray[np.int64]:
        """int64[n]: the place of each token in the vocabulary, -1 where it is not there."""
        hashes = tokens.hash64()
        pending, slots = np.arange(len(tokens)), _slots(hashes, len(self.table))
        found = np.full(len(tokens), -1, dtype=np.int64)
        while len(pending) and len(self.words):
            words, slots = self._probe(hashes[pending], slots)
            # Equal hashes of different words are possible; the search goes on behind such a one.
            alike = np.flatnonzero(words >= 0)
            same = tokens.equal_at(pending[alike], self.words, words[alike])
            found[pending[alike[same]]] = words[alike[same]]
            pending = pending[alike[~same]]
            slots = (slots[alike[~same]] + 1) % len(self.table)
        return found

    def _probe(
        self, hashes: npt.NDArray[np.uint64], slots: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The next word of each hash from each slot on, -1 before none, and the slot it is in."""
        found, slots = np.full(len(hashes), -1, dtype=np.int64), slots.copy()
        pending = np.arange(len(hashes))
        # A damaged table could be without a free place.
        for _ in range(len(self.table)):
            words = self.table[slots[pending]]
            same = self.hashes[words] == hashes[pending]
            same &= words >= 0
            found[pending[same]] = words[same]
            pending = pending[~same & (words >= 0)]
            if len(pending) == 0:
                break
            slots[pending] = (slots[pending] + 1) % len(self.table)
        return found, slots


def _slots(hashes: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.int64]:
    return (hashes & np.uint64(size - 1)).astype(np.int64)
