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
    def of(cls, words: ByteStrings) -> "Vocabulary":
        """Hash the words and fill the table; of equal words the first is found."""
        hashes = np.concatenate(
            [np.zeros(0, np.uint64)]
            + [words.slice(*run).hash64() for run in words.blocks(_HASHED_BYTES)]
        )
        table = np.full(2 << len(words).bit_length(), -1, dtype=np.int32)
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
        found = np.full(len(tokens), -1, dtype=np.int64)
        hashes = tokens.hash64()
        slots = _slots(hashes, len(self.table))
        pending = np.arange(len(tokens))
        for _ in range(len(self.table)):
            words = self.table[slots]
            used = words >= 0
            pending, slots, words = pending[used], slots[used], words[used]
            if len(pending) == 0:
                break
            equal = self.hashes[words] == hashes[pending]
            alike = np.flatnonzero(equal)
            equal[alike] = tokens.take(pending[alike]).equal(self.words.take(words[alike]))
            found[pending[equal]] = words[equal]
            pending, slots = pending[~equal], (slots[~equal] + 1) % len(self.table)
        return found


def _slots(hashes: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.int64]:
    return (hashes & np.uint64(size - 1)).astype(np.int64)
