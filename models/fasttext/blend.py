"""Blended vectors of items: a weighted mean of word vectors beside a projection of the letters.

The semantic part is the mean of the tokens' unit vectors, weighted by inverse document frequency;
the direction that all items have in common is reduced. The lexical part is a random projection of
the tokens' hashed letters, with the same kind of weights.

A word without a row in the model counts half in the semantic part, and the less, the fewer of its
n-grams the catalogue has. The semantic part of an item is shorter for the same reason: vectors of
n-grams that were never trained say nothing.

A distilled model of words may stand beside the model; its weighted sum is a second semantic part.

Source: the weights and the common direction follow Arora, Liang and Ma 2017 ("A simple but
tough-to-beat baseline for sentence embeddings"), in weakened form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.body_weights import limited_weights
from models.fasttext.catalogue_statistics import required_statistics
from models.fasttext.column_counts import ColumnCounts, count_blocks
from models.fasttext.embedder import Embedder, FlatLists
from models.fasttext.item_features import ItemFeatures
from models.fasttext.part_lengths import part_lengths
from models.fasttext.row_sums import Floats, row_norms, scale_rows, sum_rows
from models.fasttext.weighted_rows import (
    WeightedRowCache,
    WeightedRows,
    WordModel,
    semantic_dims,
)
from models.fasttext.word_contributions import TitleWords, WordContributions, values_at
from models.unpicklable import Unpicklable

# Share of the common direction that stays.
_COMMON_SHARE = np.float32(0.5)
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
        field_weights: weights of a word in further fields, a brand for instance.
    """

    dim: int = 448
    lexical_weight: float = 0.55
    title_weight: float = 1.0
    description_weight: float = 0.8
    drop_phrases: bool = True
    rare_weight: float = 0.5
    field_weights: tuple[float, ...] = ()

    @property
    def body_weights(self) -> tuple[float, ...]:
        """The weights of a word in the description and in each further field."""
        return self.description_weight, *self.field_weights

    def lexical_dim(self, model_dim: int) -> int:
        """Return the length of the lexical part.

        Args:
            model_dim: values of the semantic parts, all together.
        """
        return max(self.dim - model_dim, _MIN_LEXICAL_DIM) if self.dim else 0


class BlendEmbedder(Unpicklable):
    """A model with the statistics of its catalogue.

    Attributes:
        dim: length of a vector.
        reads: "tokens".
        phrases: promotional phrases to leave out of titles; see `CatalogueStatistics`.
        field_count: number of fields beside title and description.
        letters_from: where the lexical part of a vector begins.
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
        dims = semantic_dims(embedder)
        lexical_dim = blend.lexical_dim(sum(dims))
        self._cache = WeightedRowCache(embedder, self._statistics, lexical_dim, blend.rare_weight)
        self.letters_from = sum(dims)
        self.dim = self.letters_from + lexical_dim
        self.phrases = self._statistics.phrases if blend.drop_phrases else ()
        self.field_count = len(blend.field_weights)
        ends = np.cumsum([0, *dims, lexical_dim]).tolist()
        self._parts = [slice(*ends[n : n + 2]) for n in range(len(ends) - 1)]

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """As `embed_fields`, for titles alone."""
        tokens, offsets = Embedder.flatten(token_lists)
        empty = (tokens[:0], np.zeros_like(offsets))
        return self._embed((tokens, offsets), *[empty for _ in self._blend.body_weights])

    def embed_fields(self, titles: pa.Array, descriptions: pa.Array, *fields: pa.Array) -> Floats:
        """Return the vectors of items. The other items do not change an item's vector by a bit.

        Args:
            titles: n lists of strings, the tokens. Empty ones and nulls are left out.
            descriptions: n lists, of the same type.
            fields: n lists of each of the blend's further fields, in their order.

        Returns:
            float32[n, dim]. `lexical_weight` sets the lengths of the semantic and the lexical
            part, unless a part is zeros; the row is zeros where no token has a vector.

        Raises:
            TypeError: a column does not contain lists of strings.
        """
        return self._embed(*map(Embedder.flatten_arrow, (titles, descriptions, *fields)))

    def word_contributions(self, title: Sequence[str], *bodies: Sequence[str]) -> WordContributions:
        """Return what each word adds to an item's vector, up to rounding to float32.

        Args:
            title: the tokens of the title.
            bodies: those of the description and of each further field.
        """
        counts = ColumnCounts.of([Embedder.flatten([tokens]) for tokens in (title, *bodies)])
        cached, positions = self._rows(counts)
        word_rows = cached.rows[positions].astype(np.float64)
        title_counts, *body_counts = (
            column.toarray()[0].astype(np.float64) for column in counts.columns
        )
        rows = word_rows * (title_counts * self._blend.title_weight)[:, None]
        for part in self._parts:
            title_sum = rows[:, part].sum(axis=0, keepdims=True).astype(np.float32)
            for in_body, body_weight in zip(body_counts, self._blend.body_weights, strict=True):
                added = word_rows[:, part] * in_body[:, None]
                body_sum = added.sum(axis=0, keepdims=True).astype(np.float32)
                norms = row_norms(body_sum), row_norms(title_sum)
                weight = limited_weights(body_weight, *norms).astype(np.float64)
                rows[:, part] += added * weight[:, None]
        first = self._parts[0]
        common = self._statistics.common_direction.astype(np.float64)
        rows[:, first] -= np.outer(rows[:, first] @ common * (1 - float(_COMMON_SHARE)), common)
        lengths = self._lengths(cached, positions, counts)
        for part, (length,) in zip(self._parts, lengths, strict=True):
            norm = np.linalg.norm(rows[:, part].sum(axis=0))
            rows[:, part] *= float(length) / (norm or np.inf)
        decoded = [word.decode("utf-8", "surrogateescape") for word in counts.words.to_list()]
        return WordContributions(decoded, rows, self.letters_from)

    def title_words(
        self, titles: pa.Array, descriptions: pa.Array, *fields: pa.Array
    ) -> TitleWords:
        """Return the words of titles, with the length of what each adds to its item's vector.

        The arguments are those of `embed_fields`; the other items change nothing here either.
        """
        lists = [Embedder.flatten_arrow(column) for column in (titles, descriptions, *fields)]
        blocks = [self._block_words(counts) for _, counts in count_blocks(lists)]
        return TitleWords.concat(blocks or [self._block_words(ColumnCounts.of(lists))])

    def _block_words(self, counts: ColumnCounts) -> TitleWords:
        """As `title_words`, of a block of items."""
        cached, positions = self._rows(counts)
        titles, *bodies = counts.columns
        title_sums, *body_sums = (
            sum_rows(cached.rows, positions[column.indices], column.indptr, column.data * weight)
            for column, weight in (
                (titles, np.float32(self._blend.title_weight)),
                *((column, np.float32(1)) for column in bodies),
            )
        )
        used, codes = np.unique(titles.indices, return_inverse=True)
        rows, item = (
            cached.rows[positions[used]],
            np.repeat(np.arange(len(counts)), titles.indptr[1:] - titles.indptr[:-1]),
        )
        in_title = titles.data * self._blend.title_weight
        in_bodies = [values_at(column, item, titles.indices) for column in bodies]
        lengths = np.zeros((len(codes), len(self._parts)), dtype=np.float32)
        part_lengths = self._lengths(cached, positions, counts)
        for n, (part, length) in enumerate(zip(self._parts, part_lengths, strict=True)):
            sums, frequency, word_rows = title_sums[:, part], in_title, rows[:, part]
            for column, added, in_body, body_weight in zip(
                bodies, body_sums, in_bodies, self._blend.body_weights, strict=True
            ):
                part_norms = row_norms(added[:, part]), row_norms(title_sums[:, part])
                weight = limited_weights(body_weight, *part_norms)
                weight = np.where(np.diff(column.indptr) > 0, weight, np.float32(0))
                sums = sums + added[:, part] * weight[:, None]
                frequency = frequency + in_body * weight[item]
            if n == 0:
                sums, word_rows = self._without_common(sums), self._without_common(word_rows)
            norms = row_norms(sums)[item]
            scale = np.divide(length[item], norms, out=np.zeros_like(norms), where=norms > 0)
            lengths[:, n] = frequency * scale * row_norms(word_rows)[codes]
        if len(self._parts) > 2:
            # One length of all semantic parts.
            lengths = np.stack([row_norms(lengths[:, :-1]), lengths[:, -1]], axis=1)
        return TitleWords(
            pa.array(counts.words.take(used).to_list(), pa.binary())
            .cast(pa.string())
            .take(pa.array(codes)),
            counts.hashes[titles.indices],
            titles.indptr.astype(np.int64),
            lengths,
        )

    def item_features(
        self, titles: pa.Array, descriptions: pa.Array, *fields: pa.Array
    ) -> ItemFeatures:
        """Return what items are compared by exactly.

        The arguments are those of `embed_fields`; the other items change nothing here either.
        """
        lists = [Embedder.flatten_arrow(column) for column in (titles, descriptions, *fields)]
        parts = [self._block_features(counts) for _, counts in count_blocks(lists)]
        return ItemFeatures.concat(parts or [self._block_features(ColumnCounts.of(lists))])

    def _block_features(self, counts: ColumnCounts) -> ItemFeatures:
        """As `item_features`, of a block of items."""
        weights = (self._blend.title_weight, *self._blend.body_weights)
        return ItemFeatures.of(counts, weights, self._statistics)

    def _without_common(self, semantic: Floats) -> Floats:
        """Vectors, float32[n, k], without most of the direction that all items have in common."""
        common = self._statistics.common_direction
        removed = np.einsum("ij,j->i", semantic, common) * (1 - _COMMON_SHARE)
        return np.asarray(semantic - removed[:, None] * common)

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which words are in the model's vocabulary: bool[n]."""
        return self._embedder.in_vocabulary(words)

    def _lengths(
        self, cached: WeightedRows, positions: npt.NDArray[np.int64], counts: ColumnCounts
    ) -> list[Floats]:
        """As `part_lengths`."""
        blend = self._blend
        lexical = blend.lexical_weight if self.letters_from < self.dim else None
        weights = (blend.title_weight, *blend.body_weights)
        words = cached.weights[positions], cached.known[positions]
        return part_lengths(*words, counts, weights, lexical)

    def _embed(self, *columns: FlatLists) -> Floats:
        """As `embed_fields`, of the flat lists of titles, descriptions and further fields.

        Raises:
            ValueError: there are more or fewer further fields than the blend has weights.
        """
        if len(columns) != 1 + len(self._blend.body_weights):
            raise ValueError(f"{len(columns) - 2} fields, and weights of {self.field_count}")
        out = np.empty((len(columns[0][1]) - 1, self.dim), dtype=np.float32)
        for place, counts in count_blocks(columns):
            self._embed_block(out[place], counts)
        return out

    def _rows(self, counts: ColumnCounts) -> tuple[WeightedRows, npt.NDArray[np.int64]]:
        """Return rows of words, and where those of the counts' words are among them."""
        cached = self._cache.rows_with(counts.words, counts.hashes)
        return cached, cached.find(counts.hashes)[0]

    def _embed_block(self, out: Floats, counts: ColumnCounts) -> None:
        """Fill float32[n, dim] with the vectors of a block of items."""
        cached, positions = self._rows(counts)
        titles, *bodies = counts.columns
        weights = titles.data * np.float32(self._blend.title_weight)
        sums = sum_rows(cached.rows, positions[titles.indices], titles.indptr, weights)
        # All limits are relative to the title, and the sums get what is added to it.
        title_sums = sums.copy() if len(bodies) > 1 else sums
        for column, body_weight in zip(bodies, self._blend.body_weights, strict=True):
            filled = np.flatnonzero(np.diff(column.indptr))
            if len(filled) == 0:
                continue
            # A slice needs no copies of rows.
            items = slice(None) if len(filled) == len(counts) else filled
            body = column[items]
            body_sums = sum_rows(cached.rows, positions[body.indices], body.indptr, body.data)
            for part in self._parts:
                added = body_sums[:, part]
                norms = row_norms(added), row_norms(title_sums[items, part])
                added *= limited_weights(body_weight, *norms)[:, None]
                sums[items, part] += added
        sums[:, self._parts[0]] = self._without_common(sums[:, self._parts[0]])
        lengths = self._lengths(cached, positions, counts)
        for part, length in zip(self._parts, lengths, strict=True):
            scale_rows(sums[:, part], length, out[:, part])
