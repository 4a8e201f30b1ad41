"""Weighted rows of words, of which blended vectors are sums, and a bounded cache of them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.fasttext import lexical_features
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.hashing import Hashes
from models.fasttext.item_features import weighted_letters
from models.fasttext.row_sums import Floats

_CACHE_BYTES = 256 << 20
_MIN_CAPACITY = 256
_BLOCK_WORDS = 1 << 12

Int64s = npt.NDArray[np.int64]


class WordModel(Protocol):
    """What a blend needs of a model of words.

    Attributes:
        dim: length of a vector.
        statistics: of a catalogue, if the model has them.
    """

    dim: int
    statistics: CatalogueStatistics | None

    @property
    def distilled(self) -> "WordModel | None":
        """A second model of words, whose vectors stand beside those of the first."""

    def word_vectors(self, words: ByteStrings) -> Floats:
        """Return the vector of each word: float32[n, dim]."""

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which words are in the model's vocabulary: bool[n]."""


def semantic_dims(model: WordModel) -> list[int]:
    """The lengths of the semantic parts: of the model's vectors, and of a distilled one's."""
    return [part.dim for part in (model, model.distilled) if part is not None]


@dataclass(frozen=True)
class WeightedRows:
    """Rows of words, and an index of them by hash.

    Attributes:
        hashes: uint64[n], ascending: the words' features.
        positions: int64[n], where in `rows` and `weights` each word is.
        rows: float32[m, dim], a word's unit vector times its support, its row in the distilled
            model if there is one, and its projected letters, all times its weight.
        weights: float32[m], inverse document frequencies of words.
        known: float32[m, models], 0 to 1: 1 for a word with a row of its own in the model, for
            others the square of how many of its n-grams the catalogue has; for the distilled
            model 1 or 0.
    """

    hashes: Hashes
    positions: Int64s
    rows: Floats
    weights: Floats
    known: Floats

    def find(self, hashes: Hashes) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Look up words: int64[k], positions in the arrays; bool[k], whether each is there."""
        if len(self.hashes) == 0:
            return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), bool)
        nearest = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.positions[nearest], np.asarray(self.hashes[nearest] == hashes)


class WeightedRowCache:
    """Computes the rows of words and keeps the last ones. The 64-bit hash identifies a word.

    Attributes:
        dim: length of a row.
        capacity: number of words that it can hold.
    """

    def __init__(
        self,
        embedder: WordModel,
        statistics: CatalogueStatistics,
        lexical_dim: int,
        rare_weight: float,
    ) -> None:
        """Prepare for one model.

        Args:
            embedder: the model.
            statistics: gives the weights of words.
            lexical_dim: length of the lexical part of a row.
            rare_weight: see `Blend`.
        """
        self._embedder = embedder
        self._statistics = statistics
        self._lexical_dim = lexical_dim
        self._rare_weight = rare_weight
        self._dims = semantic_dims(embedder)
        self.dim = sum(self._dims) + lexical_dim
        self.capacity = max(_MIN_CAPACITY, _CACHE_BYTES // (4 * max(self.dim, 1)))
        self._lock = threading.Lock()
        self._used = 0
        self._cached = self._empty(0)

    def rows_with(self, words: ByteStrings, hashes: Hashes) -> WeightedRows:
        """Return cached rows, which include those of these words.

        Args:
            words: n different words.
            hashes: uint64[n], ascending: their features.
        """
        with self._lock:
            cached = self._cached
            positions, is_cached = cached.find(hashes)
            missing = np.flatnonzero(~is_cached)
            if len(missing) == 0:
                return cached
            if self._used + len(missing) > self.capacity:
                # The words of this call stay, since the next call will most likely need them too.
                cached = self._restrict(cached, hashes[is_cached], positions[is_cached])
            cached = self._grow(cached, len(missing))
            first, self._used = self._used, self._used + len(missing)
            for start in range(0, len(missing), _BLOCK_WORDS):
                block = missing[start : start + _BLOCK_WORDS]
                at = slice(first + start, first + start + len(block))
                cached.weights[at] = self._statistics.word_weights(hashes[block])
                cached.known[at] = self._compute(
                    cached.rows[at], words.take(block), hashes[block], cached.weights[at]
                )
            all_hashes = np.concatenate((cached.hashes, hashes[missing]))
            all_positions = np.concatenate((cached.positions, np.arange(first, self._used)))
            order = np.argsort(all_hashes, kind="stable")
            self._cached = replace(cached, hashes=all_hashes[order], positions=all_positions[order])
            return self._cached

    def _empty(self, size: int) -> WeightedRows:
        none = np.zeros(0, dtype=np.int64)
        rows = np.empty((size, self.dim), dtype=np.float32)
        weights = np.empty(size, dtype=np.float32)
        known = np.empty((size, len(self._dims)), dtype=np.float32)
        return WeightedRows(none.astype(np.uint64), none, rows, weights, known)

    def _restrict(self, cached: WeightedRows, hashes: Hashes, positions: Int64s) -> WeightedRows:
        self._used = len(positions)
        return WeightedRows(
            hashes,
            np.arange(len(positions)),
            cached.rows[positions],
            cached.weights[positions],
            cached.known[positions],
        )

    def _grow(self, cached: WeightedRows, count: int) -> WeightedRows:
        """Make space for `count` rows, in new arrays because other threads may read the old."""
        if self._used + count <= len(cached.rows):
            return cached
        size = max(self._used + count, min(self.capacity, 2 * len(cached.rows)))
        larger = self._empty(size)
        larger.rows[: self._used] = cached.rows[: self._used]
        larger.weights[: self._used] = cached.weights[: self._used]
        larger.known[: self._used] = cached.known[: self._used]
        return replace(larger, hashes=cached.hashes, positions=cached.positions)

    def _compute(self, out: Floats, words: ByteStrings, hashes: Hashes, weights: Floats) -> Floats:
        """Fill float32[n, dim] with the rows of n words, and return how known the words are."""
        split, meaning = self._embedder.dim, sum(self._dims)
        ngrams, offsets = lexical_features.ngram_features(words)
        texts = [word.decode("utf-8", "surrogateescape") for word in words.to_list()]
        own_row = self._embedder.in_vocabulary(texts)
        if self._rare_weight == 1:
            own_row = np.ones_like(own_row)
        # Squared: a few n-grams that other words have too say next to nothing about a word.
        shares = self._statistics.known_shares(ngrams, offsets) ** 2
        known = np.where(own_row, np.float32(1), shares)
        support = np.where(own_row, np.float32(1), np.float32(self._rare_weight) * shares)
        vectors = self._embedder.word_vectors(words)
        np.multiply(vectors, (weights * support)[:, None], out=out[:, :split])
        all_known: list[Floats] = [known]
        if self._embedder.distilled is not None:
            distilled = self._embedder.distilled.word_vectors(words)
            np.multiply(distilled, weights[:, None], out=out[:, split:meaning])
            all_known.append(np.asarray(distilled.any(axis=1), dtype=np.float32))
        if self._lexical_dim:
            letters = weighted_letters(hashes, weights, ngrams, offsets, self._statistics)
            out[:, meaning:] = lexical_features.random_projection(*letters, self._lexical_dim)
        return np.stack(all_known, axis=1)
