"""Vectors of items by what their words are worth: weighted means, blended with the words' letters.

The semantic part is the mean of the tokens' unit vectors, weighted by how rare they are, and what
all items have in common made small. Beside it stand the tokens' hashed letters, weighted so too.

Source: the weights and the common component are those of Arora, Liang and Ma 2017 ("A simple but
tough-to-beat baseline for sentence embeddings"), softened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from models.errors import ModelError
from models.fasttext import lexical_features
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.embedder import Embedder, Flat, blocks
from models.fasttext.lexical_features import Hashes
from models.fasttext.row_sums import Floats, sum_rows
from models.fasttext.token_batch import TokenBatch
from models.fasttext.weighted_rows import WeightedRowCache
from models.fasttext.word_contributions import WordContributions
from models.unpicklable import Unpicklable

# What is left of the direction that is common to all items.
_COMMON = np.float32(0.5)
# A description counts at most so many times as much as the title, however long it is.
_LONGEST = np.float32(2)
# The lexical part is no shorter, however long the model's vectors are.
_LEAST_LEXICAL = 64


@dataclass(frozen=True)
class Blend:
    """How an item's vector is made.

    Attributes:
        dim: length of a vector; 0: the model's, without a lexical part.
        lexical_weight: share of the lexical part in a cosine, 0 to 1.
        title_weight, description_weight: how much a word of each counts.
        drop_phrases: whether promotional phrases are to be left out of titles.
    """

    dim: int = 448
    lexical_weight: float = 0.55
    title_weight: float = 1.0
    description_weight: float = 0.8
    drop_phrases: bool = True

    def lexical(self, dim: int) -> int:
        """Length of the lexical part, with a model of `dim` dimensions."""
        return max(self.dim - dim, _LEAST_LEXICAL) if self.dim else 0


class BlendEmbedder(Unpicklable):
    """A model, and what its catalogue's words are worth.

    Attributes:
        dim: length of a vector.
        reads: "tokens".
        phrases: what is better left out of titles; see `CatalogueStatistics`.
    """

    reads: Literal["tokens", "text"] = "tokens"

    def __init__(self, embedder: Embedder, blend: Blend) -> None:
        """Prepare for one way to make vectors.

        Raises:
            ModelError: the model carries no statistics.
        """
        if embedder.statistics is None:
            raise ModelError(
                "the model carries no statistics of a catalogue, which every method but mean "
                "needs; use it as model.path of a store, which counts them"
            )
        self._embedder = embedder
        self._statistics: CatalogueStatistics = embedder.statistics
        self._blend = blend
        lexical = blend.lexical(embedder.dim)
        self._words = WeightedRowCache(embedder, self._statistics, lexical)
        self.dim = embedder.dim + lexical
        self.phrases = self._statistics.phrases if blend.drop_phrases else ()

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """As `embed_fields`, of titles alone."""
        tokens, offsets = Embedder.flatten(token_lists)
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
        return self._embed(Embedder.flatten_arrow(titles), Embedder.flatten_arrow(descriptions))

    def word_contributions(
        self, title: Sequence[str], description: Sequence[str]
    ) -> WordContributions:
        """What each word adds to an item's vector, to within the rounding of float32."""
        (tokens, ends), (more, more_ends) = (
            Embedder.flatten([title]),
            Embedder.flatten([description]),
        )
        offsets = np.concatenate((ends, ends[-1] + more_ends[1:]))
        words, hashes, counts = _counted(
            TokenBatch.from_arrow(pa.concat_arrays([tokens, more]), offsets)
        )
        known = self._words.of(words, hashes)
        rows = known.rows[known.find(hashes)[0]].astype(np.float64)
        of_title, of_description = counts.toarray().astype(np.float64)
        titles = rows * (of_title * self._blend.title_weight)[:, None]
        split, weight = self._embedder.dim, self._blend.lexical_weight
        for part in (slice(0, split), slice(split, self.dim)):
            added = rows[:, part] * of_description[:, None]
            more_of = added.sum(axis=0, keepdims=True).astype(np.float32)
            whole = titles[:, part].sum(axis=0, keepdims=True).astype(np.float32)
            titles[:, part] += added * self._weight(more_of, whole).astype(np.float64)[:, None]
        common = self._statistics.common.astype(np.float64)
        titles[:, :split] -= np.outer(titles[:, :split] @ common * (1 - float(_COMMON)), common)
        lengths = ((1 - weight) ** 0.5 if split < self.dim else 1.0, weight**0.5)
        for part, length in zip((slice(0, split), slice(split, self.dim)), lengths, strict=True):
            titles[:, part] *= length / (np.linalg.norm(titles[:, part].sum(axis=0)) or np.inf)
        decoded = [word.decode("utf-8", "surrogateescape") for word in words.to_list()]
        return WordContributions(decoded, titles, split)

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which words the model has met: bool[n]."""
        return self._embedder.in_vocabulary(words)

    def _embed(self, titles: Flat, descriptions: Flat) -> Floats:
        out = np.empty((len(titles[1]) - 1, self.dim), dtype=np.float32)
        for start, stop in blocks(titles[1] + descriptions[1]):
            title, ends = _cut(titles, start, stop)
            description, more_ends = _cut(descriptions, start, stop)
            offsets = np.concatenate((ends, ends[-1] + more_ends[1:]))
            batch = TokenBatch.from_arrow(pa.concat_arrays([title, description]), offsets)
            self._into(out[start:stop], batch)
        return out

    def _into(self, out: Floats, batch: TokenBatch) -> None:
        """Fill float32[n, dim] with the vectors of n titles and then n descriptions."""
        words, hashes, counts = _counted(batch)
        known = self._words.of(words, hashes)
        places, _ = known.find(hashes)
        titles, descriptions = counts[: len(out)], counts[len(out) :]
        weights = titles.data * np.float32(self._blend.title_weight)
        sums = sum_rows(known.rows, places[titles.indices], titles.indptr, weights)
        described = np.flatnonzero(np.diff(descriptions.indptr))
        if len(described):
            some = descriptions[described]
            more = sum_rows(known.rows, places[some.indices], some.indptr, some.data)
            for part in (slice(0, self._embedder.dim), slice(self._embedder.dim, self.dim)):
                sums[described, part] += self._weighted(more[:, part], sums[described, part])
        split, weight = self._embedder.dim, self._blend.lexical_weight
        semantic, lexical = sums[:, :split], sums[:, split:]
        common = self._statistics.common
        shared = np.einsum("ij,j->i", semantic, common) * (1 - _COMMON)
        semantic -= shared[:, None] * common
        _scaled(semantic, (1 - weight) ** 0.5 if lexical.size else 1, out[:, :split])
        _scaled(lexical, weight**0.5, out[:, split:])

    def _weighted(self, descriptions: Floats, titles: Floats) -> Floats:
        """float32[n, k]: what descriptions add to titles that are weighted already."""
        return np.asarray(descriptions * self._weight(descriptions, titles)[:, None])

    def _weight(self, descriptions: Floats, titles: Floats) -> Floats:
        """float32[n]: how much descriptions count beside titles."""
        weight = np.float32(self._blend.description_weight)
        title, description = _norms(titles), _norms(descriptions)
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = _LONGEST * title / description
        return np.asarray(np.where((title > 0) & (bound < weight), bound, weight))


def _counted(batch: TokenBatch) -> tuple[ByteStrings, Hashes, csr_matrix]:
    """The unique words, in an order that is the same in every batch, and each list's of them.

    Returns:
        the words; uint64[words], their hashes, ascending; float32[lists, words]: 1 + log of how
        often each occurs, since what is said ten times is not ten times as true.
    """
    hashes = lexical_features.word_features(batch.unique)
    order = np.argsort(hashes, kind="stable")
    order = order[batch.unique.lengths[order] > 0]
    rank = np.full(len(hashes), -1, dtype=np.int32)
    rank[order] = np.arange(len(order))
    batch = batch.keep((rank >= 0)[batch.codes])
    ones = np.ones(len(batch.codes), dtype=np.float32)
    shape = (len(batch.lengths), len(order))
    counts = csr_matrix((ones, rank[batch.codes], batch.offsets), shape=shape)
    counts.sum_duplicates()
    many = np.flatnonzero(counts.data > 1)
    counts.data[many] = 1 + np.log(counts.data[many].astype(np.float64))
    return batch.unique.take(order), hashes[order], counts


def _scaled(part: Floats, length: float, out: Floats) -> None:
    """Fill float32[n, k] with vectors of this length in the directions of others."""
    norms = _norms(part)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(norms > 0, np.float32(length) / norms, np.float32(0))
    np.multiply(part, factors[:, None], out=out)


def _norms(rows: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def _cut(lists: Flat, start: int, stop: int) -> Flat:
    """Lists start to stop."""
    tokens, offsets = lists
    first, last = int(offsets[start]), int(offsets[stop])
    return tokens.slice(first, last - first), offsets[start : stop + 1] - first
