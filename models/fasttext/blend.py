"""Blended vectors of items: a weighted mean of word vectors beside a projection of the letters.

The semantic part is the mean of the tokens' unit vectors, weighted by inverse document frequency;
the direction that all items have in common is reduced. The lexical part is a random projection of
the tokens' hashed letters, with the same kind of weights.

A word without a row in the model counts half in the semantic part, and the less, the fewer of its
n-grams the catalogue has. The semantic part of an item is shorter for the same reason: vectors of
n-grams that were never trained say nothing.

Source: the weights and the common direction follow Arora, Liang and Ma 2017 ("A simple but
tough-to-beat baseline for sentence embeddings"), in weakened form.
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
from models.fasttext.embedder import Embedder, FlatLists, token_blocks
from models.fasttext.hashing import Hashes
from models.fasttext.row_sums import Floats, sum_rows
from models.fasttext.token_batch import TokenBatch
from models.fasttext.weighted_rows import WeightedRowCache, WeightedRows, WordModel
from models.fasttext.word_contributions import TitleWords, WordContributions, values_at
from models.unpicklable import Unpicklable

# Share of the common direction that stays.
_COMMON_SHARE = np.float32(0.5)
# Upper limit of a description's length relative to its title's, however many words it has.
_MAX_DESCRIPTION_RATIO = np.float32(2)
# Minimum length of the lexical part, however long the model's vectors are.
_MIN_LEXICAL_DIM = 64


@dataclass(frozen=True)
class Blend:
    """How an item's vector is computed.

    Attributes:
        dim: length of a vector; 0 for the model's own, without a lexical part.
        lexical_weight: share of the lexical part in a cosine, 0 to 1.
        title_weight, description_weight: weights of a word in each.
        drop_phrases: whether promotional phrases are left out of titles.
        rare_weight: weight of the meaning of a word that has no row of its own, which is that of
            its n-grams alone; with 1 it does not matter either whether the catalogue has these.
    """

    dim: int = 448
    lexical_weight: float = 0.55
    title_weight: float = 1.0
    description_weight: float = 0.8
    drop_phrases: bool = True
    rare_weight: float = 0.5

    def lexical_dim(self, model_dim: int) -> int:
        """Return the length of the lexical part for a model of `model_dim` dimensions."""
        return max(self.dim - model_dim, _MIN_LEXICAL_DIM) if self.dim else 0


class BlendEmbedder(Unpicklable):
    """A model with the statistics of its catalogue.

    Attributes:
        dim: length of a vector.
        reads: "tokens".
        phrases: promotional phrases to leave out of titles; see `CatalogueStatistics`.
    """

    reads: Literal["tokens", "text"] = "tokens"

    def __init__(self, embedder: WordModel, blend: Blend) -> None:
        """Prepare for one blend.

        Raises:
            ModelError: the model has no statistics.
        """
        self._embedder = embedder
        self._statistics = required_statistics(embedder.statistics)
        self._blend = blend
        lexical_dim = blend.lexical_dim(embedder.dim)
        self._cache = WeightedRowCache(embedder, self._statistics, lexical_dim, blend.rare_weight)
        self.dim = embedder.dim + lexical_dim
        self.phrases = self._statistics.phrases if blend.drop_phrases else ()
        self._parts = (slice(0, embedder.dim), slice(embedder.dim, self.dim))

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """As `embed_fields`, for titles alone."""
        tokens, offsets = Embedder.flatten(token_lists)
        return self._embed((tokens, offsets), (tokens[:0], np.zeros_like(offsets)))

    def embed_fields(self, titles: pa.Array, descriptions: pa.Array) -> Floats:
        """Return the vectors of items. The other items do not change an item's vector by a bit.

        Args:
            titles: n lists of strings, the tokens. Empty ones and nulls are left out.
            descriptions: n lists, of the same type.

        Returns:
            float32[n, dim]. `lexical_weight` sets the lengths of the semantic and the lexical
            part, unless a part is zeros; the row is zeros where no token has a vector.

        Raises:
            TypeError: a column does not contain lists of strings.
        """
        return self._embed(Embedder.flatten_arrow(titles), Embedder.flatten_arrow(descriptions))

    def word_contributions(
        self, title: Sequence[str], description: Sequence[str]
    ) -> WordContributions:
        """Return what each word adds to an item's vector, up to rounding to float32."""
        fields = Embedder.flatten([title]), Embedder.flatten([description])
        words, hashes, counts = _word_counts(_stacked(*fields))
        cached = self._cache.rows_with(words, hashes)
        word_rows = cached.rows[cached.find(hashes)[0]].astype(np.float64)
        title_counts, description_counts = counts.toarray().astype(np.float64)
        rows = word_rows * (title_counts * self._blend.title_weight)[:, None]
        for part in self._parts:
            added = word_rows[:, part] * description_counts[:, None]
            description_sum = added.sum(axis=0, keepdims=True).astype(np.float32)
            title_sum = rows[:, part].sum(axis=0, keepdims=True).astype(np.float32)
            weight = self._description_weights(description_sum, title_sum).astype(np.float64)
            rows[:, part] += added * weight[:, None]
        split = self._embedder.dim
        common = self._statistics.common_direction.astype(np.float64)
        rows[:, :split] -= np.outer(rows[:, :split] @ common * (1 - float(_COMMON_SHARE)), common)
        semantic, lexical = self._part_lengths()
        known = float(self._known_shares(cached, cached.find(hashes)[0], counts)[0])
        for part, length in zip(self._parts, (semantic * known, lexical), strict=True):
            rows[:, part] *= length / (np.linalg.norm(rows[:, part].sum(axis=0)) or np.inf)
        decoded = [word.decode("utf-8", "surrogateescape") for word in words.to_list()]
        return WordContributions(decoded, rows, split)

    def title_words(self, titles: pa.Array, descriptions: pa.Array) -> TitleWords:
        """Return the words of titles, with the length of what each adds to its item's vector.

        The arguments are those of `embed_fields`; the other items change nothing here either.
        """
        title_lists, lists = Embedder.flatten_arrow(titles), Embedder.flatten_arrow(descriptions)
        blocks = [
            self._batch_words(_stacked(_slice(title_lists, *block), _slice(lists, *block)))
            for block in token_blocks(title_lists[1] + lists[1])
        ]
        return TitleWords.concat(blocks or [self._batch_words(_stacked(title_lists, lists))])

    def _batch_words(self, batch: TokenBatch) -> TitleWords:
        """As `title_words`, of a batch of n titles and then n descriptions."""
        words, hashes, counts = _word_counts(batch)
        cached = self._cache.rows_with(words, hashes)
        positions, size = cached.find(hashes)[0], counts.shape[0] // 2
        titles, descriptions = counts[:size], counts[size:]
        title_sums, description_sums = (
            sum_rows(cached.rows, positions[field.indices], field.indptr, field.data * weight)
            for field, weight in (
                (titles, np.float32(self._blend.title_weight)),
                (descriptions, np.float32(1)),
            )
        )
        used, codes = np.unique(titles.indices, return_inverse=True)
        rows, item = (
            cached.rows[positions[used]],
            np.repeat(np.arange(size), titles.indptr[1:] - titles.indptr[:-1]),
        )
        in_title = titles.data * self._blend.title_weight
        in_description = values_at(descriptions, item, titles.indices)
        lengths = np.zeros((len(codes), 2), dtype=np.float32)
        semantic, lexical = self._part_lengths()
        known = self._known_shares(cached, positions, counts)
        for n, (part, length) in enumerate(
            zip(self._parts, (semantic * known, np.full_like(known, lexical)), strict=True)
        ):
            weight = self._description_weights(description_sums[:, part], title_sums[:, part])
            weight = np.where(np.diff(descriptions.indptr) > 0, weight, np.float32(0))
            sums = title_sums[:, part] + description_sums[:, part] * weight[:, None]
            word_rows = rows[:, part]
            if n == 0:
                sums, word_rows = self._without_common(sums), self._without_common(word_rows)
            norms = _norms(sums)[item]
            scale = np.divide(length[item], norms, out=np.zeros_like(norms), where=norms > 0)
            frequency = in_title + in_description * weight[item]
            lengths[:, n] = frequency * scale * _norms(word_rows)[codes]
        return TitleWords(
            pa.array(words.take(used).to_list(), pa.binary())
            .cast(pa.string())
            .take(pa.array(codes)),
            hashes[titles.indices],
            titles.indptr.astype(np.int64),
            lengths,
        )

    def _without_common(self, semantic: Floats) -> Floats:
        """Vectors, float32[n, k], without most of the direction that all items have in common."""
        common = self._statistics.common_direction
        removed = np.einsum("ij,j->i", semantic, common) * (1 - _COMMON_SHARE)
        return np.asarray(semantic - removed[:, None] * common)

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which words are in the model's vocabulary: bool[n]."""
        return self._embedder.in_vocabulary(words)

    def _part_lengths(self) -> tuple[float, float]:
        """Return the lengths of the semantic and the lexical part."""
        weight = self._blend.lexical_weight
        has_lexical = self._embedder.dim < self.dim
        return (1 - weight) ** 0.5 if has_lexical else 1.0, weight**0.5

    def _embed(self, titles: FlatLists, descriptions: FlatLists) -> Floats:
        out = np.empty((len(titles[1]) - 1, self.dim), dtype=np.float32)
        for start, stop in token_blocks(titles[1] + descriptions[1]):
            batch = _stacked(_slice(titles, start, stop), _slice(descriptions, start, stop))
            self._embed_batch(out[start:stop], batch)
        return out

    def _embed_batch(self, out: Floats, batch: TokenBatch) -> None:
        """Fill float32[n, dim] with the vectors of n titles and then n descriptions."""
        words, hashes, counts = _word_counts(batch)
        cached = self._cache.rows_with(words, hashes)
        positions, _ = cached.find(hashes)
        titles, descriptions = counts[: len(out)], counts[len(out) :]
        weights = titles.data * np.float32(self._blend.title_weight)
        sums = sum_rows(cached.rows, positions[titles.indices], titles.indptr, weights)
        with_description = np.flatnonzero(np.diff(descriptions.indptr))
        if len(with_description):
            described = descriptions[with_description]
            description_sums = sum_rows(
                cached.rows, positions[described.indices], described.indptr, described.data
            )
            for part in self._parts:
                added, title_sums = description_sums[:, part], sums[with_description, part]
                weight = self._description_weights(added, title_sums)
                sums[with_description, part] += added * weight[:, None]
        sums[:, self._parts[0]] = self._without_common(sums[:, self._parts[0]])
        known = self._known_shares(cached, positions, counts)
        semantic, lexical = self._part_lengths()
        scale(sums[:, self._parts[0]], semantic * known, out[:, self._parts[0]])
        scale(sums[:, self._parts[1]], lexical, out[:, self._parts[1]])

    def _known_shares(
        self, cached: WeightedRows, positions: npt.NDArray[np.int64], counts: csr_matrix
    ) -> Floats:
        """Return how much of each item's words the catalogue has: float32[n], 0 to 1.

        Args:
            cached: the words' rows.
            positions: int64[words], where they are.
            counts: float32[2 n, words], of n titles and then n descriptions.
        """
        size, weights = counts.shape[0] // 2, cached.weights[positions]
        values = np.stack((weights, weights * cached.known[positions]), axis=1)
        # Sums of float64 in the order of an item's words: other items change nothing.
        titles, descriptions = (
            np.asarray(field @ values.astype(np.float64))
            for field in (counts[:size], counts[size:])
        )
        blend = self._blend
        sums = titles * blend.title_weight + descriptions * blend.description_weight
        shares = np.divide(sums[:, 1], sums[:, 0], out=np.ones(size), where=sums[:, 0] > 0)
        return shares.astype(np.float32)

    def _description_weights(self, descriptions: Floats, titles: Floats) -> Floats:
        """Return the weights of descriptions relative to their titles: float32[n].

        Args:
            descriptions: float32[n, k], sums of rows.
            titles: the same.
        """
        weight = np.float32(self._blend.description_weight)
        title_norms, description_norms = _norms(titles), _norms(descriptions)
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = _MAX_DESCRIPTION_RATIO * title_norms / description_norms
        return np.asarray(np.where((title_norms > 0) & (limit < weight), limit, weight))


def required_statistics(statistics: CatalogueStatistics | None) -> CatalogueStatistics:
    """The statistics that a model carries.

    Raises:
        ModelError: it carries none.
    """
    if statistics is None:
        raise ModelError(
            "the model carries no statistics of a catalogue, which every method but mean needs; "
            "use it as model.path of a store, which counts them"
        )
    return statistics


def _word_counts(batch: TokenBatch) -> tuple[ByteStrings, Hashes, csr_matrix]:
    """Count the words of each list.

    Returns:
        The unique words, in the same order in each batch; uint64[words], their features,
        ascending; float32[lists, words], 1 + log of how often a list has a word, since repeated
        words say less than new ones.
    """
    hashes = lexical_features.word_features(batch.unique)
    order = np.argsort(hashes, kind="stable")
    order = order[batch.unique.lengths[order] > 0]
    rank = np.full(len(hashes), -1, dtype=np.int32)
    rank[order] = np.arange(len(order))
    batch = batch.filter((rank >= 0)[batch.codes])
    ones = np.ones(len(batch.codes), dtype=np.float32)
    shape = (len(batch.lengths), len(order))
    counts = csr_matrix((ones, rank[batch.codes], batch.offsets), shape=shape)
    counts.sum_duplicates()
    repeated = np.flatnonzero(counts.data > 1)
    counts.data[repeated] = 1 + np.log(counts.data[repeated].astype(np.float64))
    return batch.unique.take(order), hashes[order], counts


def scale(vectors: Floats, lengths: float | Floats, out: Floats) -> None:
    """Fill float32[n, k] with the vectors, scaled to a length; zeros stay zeros.

    Args:
        vectors: float32[n, k].
        lengths: of all, or float32[n].
        out: receives them.
    """
    norms = _norms(vectors)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(norms > 0, np.asarray(lengths, np.float32) / norms, np.float32(0))
    np.multiply(vectors, factors[:, None], out=out)


def _norms(rows: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def _stacked(titles: FlatLists, descriptions: FlatLists) -> TokenBatch:
    """Return a batch of n titles and then n descriptions."""
    offsets = np.concatenate((titles[1], titles[1][-1] + descriptions[1][1:]))
    return TokenBatch.from_arrow(pa.concat_arrays([titles[0], descriptions[0]]), offsets)


def _slice(lists: FlatLists, start: int, stop: int) -> FlatLists:
    """Return the lists from start to stop."""
    tokens, offsets = lists
    first, last = int(offsets[start]), int(offsets[stop])
    return tokens.slice(first, last - first), offsets[start : stop + 1] - first
