"""Vectors of words outside the vocabulary, kept while there is room."""

import threading

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.ngrams import Ngrams
from models.fasttext.sums import Floats, unit, widened_sums

_BLOCK_BYTES = 1 << 16
_ROOM_BYTES = 32 << 20


class UnknownWords:
    """Makes vectors of words out of n-gram rows; the last ones are kept, in bounded memory.

    Attributes:
        room: words that are kept.
    """

    def __init__(self, ngrams: Ngrams, rows: np.ndarray) -> None:
        """Prepare for one model.

        Args:
            ngrams: which rows a word has.
            rows: float32 or float16[rows, dim].
        """
        self._ngrams = ngrams
        self._rows = rows
        dim = rows.shape[1]
        self.room = max(256, _ROOM_BYTES // (4 * dim)) if len(rows) else 0
        self._lock = threading.Lock()
        self._slots: dict[bytes, int] = {}
        self._owners: list[bytes] = []
        self._next = 0
        self._vectors = np.empty((0, dim), dtype=np.float32)
        self._has_vector = np.empty(0, dtype=bool)

    def __len__(self) -> int:
        return len(self._slots)

    def vectors(self, words: ByteStrings) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The words' unit vectors, float32[n, dim], and whether each has one, bool[n]."""
        if self.room == 0:
            shape = (len(words), self._rows.shape[1])
            return np.zeros(shape, np.float32), np.zeros(len(words), bool)
        keys = words.to_list()
        with self._lock:
            found = (self._slots.get(key, -1) for key in keys)
            slots = np.fromiter(found, dtype=np.int64, count=len(keys))
            missing = np.flatnonzero(slots < 0)
            if len(missing) == len(keys):
                vectors, has_vector = self._make(words)
            else:
                vectors, has_vector = self._vectors[slots], self._has_vector[slots]
                if len(missing):
                    vectors[missing], has_vector[missing] = self._make(words.take(missing))
            for place in missing[-self.room :]:
                self._keep(keys[place], vectors[place], bool(has_vector[place]))
        return vectors, has_vector

    def _make(self, words: ByteStrings) -> tuple[Floats, npt.NDArray[np.bool_]]:
        vectors = np.empty((len(words), self._rows.shape[1]), dtype=np.float32)
        for start, stop in words.blocks(_BLOCK_BYTES):
            places, offsets = self._ngrams.of_words(words.slice(start, stop))
            sums = widened_sums(self._rows, places, offsets)
            counts = np.maximum(np.diff(offsets), 1).astype(np.float32)
            vectors[start:stop] = sums * (np.float32(1) / counts)[:, None]
        return vectors, unit(vectors)

    def _keep(self, key: bytes, vector: Floats, has_vector: bool) -> None:
        if len(self._owners) < self.room:
            slot = len(self._owners)
            self._owners.append(key)
            if slot == len(self._vectors):
                self._grow()
        else:
            slot = self._next
            self._next = (slot + 1) % self.room
            del self._slots[self._owners[slot]]
            self._owners[slot] = key
        self._slots[key] = slot
        self._vectors[slot] = vector
        self._has_vector[slot] = has_vector

    def _grow(self) -> None:
        size = min(self.room, max(256, 2 * len(self._vectors)))
        self._vectors = np.resize(self._vectors, (size, self._vectors.shape[1]))
        self._has_vector = np.resize(self._has_vector, size)
