"""A vocabulary that is looked up in arrays: nothing is built when a process starts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.hashing import Hashes, table_slots

_BLOCK_BYTES = 1 << 22
_EMPTY = -1


@dataclass(frozen=True)
class Vocabulary:
    """Words and their open-addressing hash table.

    Attributes:
        words: n words.
        hashes: uint64[n], `hash64` of the words.
        table: int32[2^k], indices of words by hash with linear probing; -1 where a slot is empty.
    """

    words: ByteStrings
    hashes: Hashes
    table: npt.NDArray[np.int32]

    @classmethod
    def build(cls, words: ByteStrings) -> "Vocabulary":
        """Hash the words and fill the table. Of equal words, lookups return the first."""
        hashes = np.concatenate(
            [np.zeros(0, np.uint64)]
            + [words.slice(*block).hash64() for block in words.blocks(_BLOCK_BYTES)]
        )
        # At most a quarter of the slots is used: most lookups then end at their first slot.
        table = np.full(4 << len(words).bit_length(), _EMPTY, dtype=np.int32)
        pending = np.arange(len(words))
        slots = table_slots(hashes, len(table))
        while len(pending):
            empty = table[slots] < 0
            # In reverse order, so that of words with the same slot the first one gets it.
            table[slots[empty][::-1]] = pending[empty][::-1]
            placed = table[slots] == pending
            pending = pending[~placed]
            slots = (slots[~placed] + 1) % len(table)
        return cls(words, hashes, table)

    def find(self, tokens: ByteStrings) -> npt.NDArray[np.int64]:
        """Look up tokens: int64[n], indices of words, -1 for a token that is not a word."""
        hashes = tokens.hash64()
        pending, slots = np.arange(len(tokens)), table_slots(hashes, len(self.table))
        indices = np.full(len(tokens), -1, dtype=np.int64)
        while len(pending) and len(self.words):
            candidates, slots = self._probe(hashes[pending], slots)
            # Different words can have the same hash: then the search goes on at the next slot.
            hits = np.flatnonzero(candidates >= 0)
            same = tokens.equal_at(pending[hits], self.words, candidates[hits])
            indices[pending[hits[same]]] = candidates[hits[same]]
            pending = pending[hits[~same]]
            slots = (slots[hits[~same]] + 1) % len(self.table)
        return indices

    def _probe(
        self, hashes: Hashes, slots: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Find the next word with each hash, starting at a slot of the table.

        Returns:
            int64[n], indices of words, -1 where an empty slot comes first; int64[n], their slots.
        """
        indices, slots = np.full(len(hashes), -1, dtype=np.int64), slots.copy()
        pending = np.arange(len(hashes))
        # The number of steps is bounded because a damaged table may have no empty slot.
        for _ in range(len(self.table)):
            words = self.table[slots[pending]]
            same = self.hashes[words] == hashes[pending]
            same &= words >= 0
            indices[pending[same]] = words[same]
            pending = pending[~same & (words >= 0)]
            if len(pending) == 0:
                break
            slots[pending] = (slots[pending] + 1) % len(self.table)
        return indices, slots
