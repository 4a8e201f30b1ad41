"""The rows of words that vectors are sums of, the last ones kept while there is room."""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext import lexical_features
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.embedder import Embedder
from models.fasttext.lexical_features import Hashes
from models.fasttext.row_sums import Floats, unit

_ROOM_BYTES = 256 << 20
_MADE_TOGETHER = 1 << 12


@dataclass(frozen=True)
class Rows:
    """Rows of words.

    Attributes:
        hashes: uint64[n], ascending: the words'.
        places: int64[n]: where in `rows` and `worth` each is.
        rows: float32[m, dim]: a word's unit vector and its letters, both by how rare they are.
        worth: float32[m]: how rare the word is.
    """

    hashes: Hashes
    places: npt.NDArray[np.int64]
    rows: Floats
    worth: Floats

    def find(self, hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """int64[k]: the places of words in the arrays; bool[k]: whether each is there."""
        if len(self.hashes) == 0:
            return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), bool)
        near = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.places[near], np.asarray(self.hashes[near] == hashes)


class WeightedRowCache:
    """Makes the rows of words; a word is known by its 64-bit hash.

    Attributes:
        dim: length of a row.
        room: words that are kept.
    """

    def __init__(self, embedder: Embedder, statistics: CatalogueStatistics, lexical: int) -> None:
        """Prepare for one model.

        Args:
            embedder: the model.
            statistics: what words are worth.
            lexical: length of the part that is made of letters.
        """
        self._embedder = embedder
        self._statistics = statistics
        self._lexical = lexical
        self.dim = embedder.dim + lexical
        self.room = max(256, _ROOM_BYTES // (4 * self.dim))
        self._lock = threading.Lock()
        self._used = 0
        self._kept = self._empty(0)

    def of(self, words: ByteStrings, hashes: Hashes) -> Rows:
        """Rows among which are those of these words.

        Args:
            words: n, each once.
            hashes: uint64[n], ascending: theirs.
        """
        with self._lock:
            kept = self._kept
            places, found = kept.find(hashes)
            missing = np.flatnonzero(~found)
            if len(missing) == 0:
                return kept
            if self._used + len(missing) > self.room:
                # What is needed now will be needed soon, more than what is not.
                kept = self._only(kept, hashes[found], places[found])
            kept = self._with_room(kept, len(missing))
            first, self._used = self._used, self._used + len(missing)
            for start in range(0, len(missing), _MADE_TOGETHER):
                some = missing[start : start + _MADE_TOGETHER]
                at = slice(first + start, first + start + len(some))
                kept.worth[at] = self._statistics.weights_of_words(hashes[some])
                self._make(kept.rows[at], words.take(some), hashes[some], kept.worth[at])
            every = np.concatenate((kept.hashes, hashes[missing]))
            order = np.argsort(every, kind="stable")
            added = np.concatenate((kept.places, np.arange(first, self._used)))
            self._kept = Rows(every[order], added[order], kept.rows, kept.worth)
            return self._kept

    def _empty(self, size: int) -> Rows:
        none = np.zeros(0, dtype=np.int64)
        rows = np.empty((size, self.dim), dtype=np.float32)
        return Rows(none.astype(np.uint64), none, rows, np.empty(size, dtype=np.float32))

    def _only(self, kept: Rows, hashes: Hashes, places: npt.NDArray[np.int64]) -> Rows:
        self._used = len(places)
        return Rows(hashes, np.arange(len(places)), kept.rows[places], kept.worth[places])

    def _with_room(self, kept: Rows, more: int) -> Rows:
        """The same rows in arrays that hold more, new ones: others may be reading the old."""
        if self._used + more <= len(kept.rows):
            return kept
        larger = self._empty(max(self._used + more, min(self.room, 2 * len(kept.rows))))
        larger.rows[: self._used] = kept.rows[: self._used]
        larger.worth[: self._used] = kept.worth[: self._used]
        return Rows(kept.hashes, kept.places, larger.rows, larger.worth)

    def _make(self, out: Floats, words: ByteStrings, hashes: Hashes, worth: Floats) -> None:
        split = self._embedder.dim
        vectors = self._embedder.word_vectors(words)
        if self._embedder.header.supervised:
            unit(vectors)
        np.multiply(vectors, worth[:, None], out=out[:, :split])
        if self._lexical:
            ngrams, offsets = lexical_features.ngram_features(words)
            starts = offsets[:-1]
            # The word itself comes first.
            every = np.insert(ngrams, starts, hashes)
            weights = np.insert(self._statistics.weights_of_ngrams(ngrams), starts, worth)
            offsets = offsets + np.arange(len(offsets))
            out[:, split:] = lexical_features.random_projection(
                every, weights, offsets, self._lexical
            )
