"""Vectors of items by what their words are worth: weighted means, blended with the words' letters.

Each token has a row: its unit vector, turned to the catalogue's axes and the first of these, which
all items share, made small; beside it its hashed features. Both are weighted by how rare they are.
An item's vector is the sum of its tokens' rows, so a batch is one sparse product.

Source: the weights and the common component are those of Arora, Liang and Ma 2017 ("A simple but
tough-to-beat baseline for sentence embeddings"), softened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from models.errors import ModelError
from models.fasttext import features
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.embedder import Embedder, Flat, blocks
from models.fasttext.kept import KeptRows
from models.fasttext.statistics import Statistics, turned
from models.fasttext.sums import Floats, unit
from models.fasttext.tokens import Batch
from models.unpicklable import Unpicklable

# Most of the model's part of a blend: directions beyond tell less than letters do.
_SEMANTIC = 100
# A description counts at most so many times as much as the title, however long it is.
_LONGEST = np.float32(2)


@dataclass(frozen=True)
class Blend:
    """How an item's vector is made.

    Attributes:
        dim: length of a vector; 0: the model's, without a lexical part.
        lexical_weight: share of the lexical part in a cosine, 0 to 1.
        title_weight, description_weight: how much a word of each counts.
        common: what is left of the direction that is most common to all items.
    """

    dim: int = 512
    lexical_weight: float = 0.6
    title_weight: float = 1.0
    description_weight: float = 0.8
    common: float = 0.3

    def parts(self, dim: int) -> tuple[int, int]:
        """Lengths of the semantic and the lexical part, with a model of `dim` dimensions."""
        if self.dim == 0:
            return dim, 0
        semantic = min(dim, _SEMANTIC, self.dim // 2)
        return semantic, self.dim - semantic


class BlendEmbedder(Unpicklable):
    """A model, and what its catalogue's words are worth.

    Attributes:
        dim: length of a vector.
        reads: "tokens".
        phrases: what is better left out of titles; see `Statistics`.
    """

    reads: Literal["tokens", "text"] = "tokens"

    def __init__(
        self, embedder: Embedder, blend: Blend, statistics: Statistics | None = None
    ) -> None:
        """Prepare for one way to make vectors.

        Args:
            embedder: the model.
            blend: the way.
            statistics: instead of those that the model carries.

        Raises:
            ModelError: it carries none.
        """
        chosen = statistics or embedder.statistics
        if chosen is None:
            raise ModelError(
                "the model carries no statistics of a catalogue, which every method but mean "
                "needs; use it as model.path of a store, which counts them"
            )
        self._embedder = embedder
        self._statistics: Statistics = chosen
        self._blend = blend
        self._semantic, self._lexical = blend.parts(embedder.dim)
        self._axes = self._statistics.axes[: self._semantic].copy()
        self._axes[:1] *= np.float32(blend.common)
        self.dim = self._semantic + self._lexical
        self.phrases = chosen.phrases
        self.kept = KeptRows(self._rows, self.dim)

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """As `embed_fields`, of titles alone."""
        tokens, offsets = Embedder.flat(token_lists)
        return self._embed((tokens, offsets), (tokens[:0], np.zeros_like(offsets)))

    def embed_fields(self, titles: pa.Array, descriptions: pa.Array) -> Floats:
        """The vectors of items. One item's does not depend, to the bit, on the others'.

        Args:
            titles: n lists of strings: tokens. Empty ones and nulls are left out.
            descriptions: n lists, of the same type.

        Returns:
            float32[n, dim], the lengths of its semantic and its lexical part by lexical_weight
            but where a part is zeros; a zero row where no token has a vector.

        Raises:
            TypeError: one is no column of lists of strings.
        """
        return self._embed(Embedder.flat_arrow(titles), Embedder.flat_arrow(descriptions))

    def _embed(self, titles: Flat, descriptions: Flat) -> Floats:
        out = np.empty((len(titles[1]) - 1, self.dim), dtype=np.float32)
        for start, stop in blocks(titles[1] + descriptions[1]):
            title, ends = _cut(titles, start, stop)
            description, more_ends = _cut(descriptions, start, stop)
            offsets = np.concatenate((ends, ends[-1] + more_ends[1:]))
            sums = self._sums(Batch.of(pa.concat_arrays([title, description]), offsets))
            out[start:stop] = self._joined(sums[: stop - start], sums[stop - start :])
        return out

    def _sums(self, batch: Batch) -> Floats:
        """float32[n, dim]: the weighted sum of each list's tokens' rows."""
        # In the order of hashes, which is the same in every batch.
        order = np.argsort(batch.unique.hash64(), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        batch = batch.keep((batch.unique.lengths > 0)[batch.codes])
        counts = csr_matrix(
            (np.ones(len(batch.codes), dtype=np.float32), rank[batch.codes], batch.offsets),
            shape=(len(batch.lengths), len(order)),
        )
        counts.sum_duplicates()
        counts.data = _damped(counts.data)
        return np.asarray(counts @ self.kept.rows(batch.unique.take(order)))

    def _joined(self, titles: Floats, descriptions: Floats) -> Floats:
        shares = (1 - self._blend.lexical_weight, self._blend.lexical_weight)
        places = (slice(0, self._semantic), slice(self._semantic, self.dim))
        for share, place in zip(shares, places, strict=True):
            part = titles[:, place] * np.float32(self._blend.title_weight)
            part += descriptions[:, place] * self._weights(part, descriptions[:, place])[:, None]
            unit(part)
            titles[:, place] = part * np.float32(share**0.5 if self._lexical else 1)
        return titles

    def _weights(self, titles: Floats, descriptions: Floats) -> Floats:
        """float32[n]: of the descriptions, bounded where they are much longer than titles."""
        title, description = _norms(titles), _norms(descriptions)
        weight = np.float32(self._blend.description_weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = _LONGEST * title / description
        return np.where((title > 0) & (bound < weight), bound, weight)

    def _rows(self, words: ByteStrings) -> Floats:
        """float32[n, dim]: the weighted row of each word."""
        hashes = features.hashes_of_words(words)
        worth = self._statistics.weights_of_words(hashes)
        rows = np.empty((len(words), self.dim), dtype=np.float32)
        vectors = self._embedder.vectors_of(words)
        unit(vectors)
        rows[:, : self._semantic] = turned(vectors, self._axes) * worth[:, None]
        if self._lexical:
            ngrams, offsets = features.hashes_of_ngrams(words)
            weights = self._statistics.weights_of_ngrams(ngrams)
            # The word itself comes first.
            starts = offsets[:-1]
            rows[:, self._semantic :] = features.projection(
                np.insert(ngrams, starts, hashes),
                np.insert(weights, starts, worth),
                offsets + np.arange(len(offsets)),
                self._lexical,
            )
        return rows


def _cut(lists: Flat, start: int, stop: int) -> Flat:
    """Lists start to stop."""
    tokens, offsets = lists
    first, last = int(offsets[start]), int(offsets[stop])
    return tokens.slice(first, last - first), offsets[start : stop + 1] - first


def _norms(rows: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def _damped(counts: Floats) -> Floats:
    """1 + log of how often a word occurs: what is said ten times is not ten times as true."""
    return (1 + np.log(counts.astype(np.float64))).astype(np.float32)
