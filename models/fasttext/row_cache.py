"""A bounded cache of one row for each word, which evicts the oldest entries."""

import threading
from collections.abc import Callable

import numpy as np

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.row_sums import Floats

_CACHE_BYTES = 32 << 20
_MIN_CAPACITY = 256


class RowCache:
    """Caches rows by word, first in, first out. It changes the time only, never a result.

    Attributes:
        capacity: number of words that it can hold.
    """

    def __init__(self, compute: Callable[[ByteStrings], Floats], width: int) -> None:
        """Make an empty cache.

        Args:
            compute: returns float32[n, width] for n words; the row of a word must not depend on
                the other words.
            width: number of values of a row.
        """
        self._compute = compute
        self.capacity = max(_MIN_CAPACITY, _CACHE_BYTES // (4 * max(width, 1)))
        self._lock = threading.Lock()
        self._slots: dict[bytes, int] = {}
        self._words: list[bytes] = []
        self._oldest = 0
        self._rows = np.empty((0, width), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._slots)

    def rows(self, words: ByteStrings) -> Floats:
        """Return the rows of words: float32[n, width]."""
        keys = words.to_list()
        with self._lock:
            cached_slots = (self._slots.get(key, -1) for key in keys)
            slots = np.fromiter(cached_slots, dtype=np.int64, count=len(keys))
            missing = np.flatnonzero(slots < 0)
            if len(missing) == len(keys):
                rows = self._compute(words)
            else:
                rows = self._rows[slots]
                if len(missing):
                    rows[missing] = self._compute(words.take(missing))
            for index in missing[-self.capacity :]:
                self._insert(keys[index], rows[index])
        return rows

    def _insert(self, word: bytes, row: Floats) -> None:
        if len(self._words) < self.capacity:
            slot = len(self._words)
            self._words.append(word)
            if slot == len(self._rows):
                size = min(self.capacity, max(_MIN_CAPACITY, 2 * len(self._rows)))
                self._rows = np.resize(self._rows, (size, self._rows.shape[1]))
        else:
            slot = self._oldest
            self._oldest = (slot + 1) % self.capacity
            del self._slots[self._words[slot]]
            self._words[slot] = word
        self._slots[word] = slot
        self._rows[slot] = row
