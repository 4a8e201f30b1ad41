"""Rows made of words, the last ones kept while there is room."""

import threading
from collections.abc import Callable

import numpy as np

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.row_sums import Floats

_ROOM_BYTES = 32 << 20


class RowCache:
    """A bounded memory of a row for each word; it makes no difference but to the time.

    Attributes:
        room: words that are kept.
    """

    def __init__(self, make: Callable[[ByteStrings], Floats], width: int) -> None:
        """Prepare an empty memory.

        Args:
            make: float32[n, width] of n words; a word's row must not depend on the others.
            width: values of a row.
        """
        self._make = make
        self.room = max(256, _ROOM_BYTES // (4 * max(width, 1)))
        self._lock = threading.Lock()
        self._slots: dict[bytes, int] = {}
        self._owners: list[bytes] = []
        self._next = 0
        self._rows = np.empty((0, width), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._slots)

    def rows(self, words: ByteStrings) -> Floats:
        """float32[n, width]: the words' rows."""
        keys = words.to_list()
        with self._lock:
            found = (self._slots.get(key, -1) for key in keys)
            slots = np.fromiter(found, dtype=np.int64, count=len(keys))
            missing = np.flatnonzero(slots < 0)
            if len(missing) == len(keys):
                rows = self._make(words)
            else:
                rows = self._rows[slots]
                if len(missing):
                    rows[missing] = self._make(words.take(missing))
            for place in missing[-self.room :]:
                self._keep(keys[place], rows[place])
        return rows

    def _keep(self, key: bytes, row: Floats) -> None:
        if len(self._owners) < self.room:
            slot = len(self._owners)
            self._owners.append(key)
            if slot == len(self._rows):
                size = min(self.room, max(256, 2 * len(self._rows)))
                self._rows = np.resize(self._rows, (size, self._rows.shape[1]))
        else:
            slot = self._next
            self._next = (slot + 1) % self.room
            del self._slots[self._owners[slot]]
            self._owners[slot] = key
        self._slots[key] = slot
        self._rows[slot] = row
