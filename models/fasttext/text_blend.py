"""Blended vectors of items whose meaning is read from running text, beside the letters of tokens.

The semantic part is the vector that an encoder or another model of texts makes of the title and the
description; the direction that all items have in common is taken out of it. The lexical part is
that of `BlendEmbedder`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from models.fasttext.blend import Blend, BlendEmbedder
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics, required_statistics
from models.fasttext.item_features import ItemFeatures
from models.fasttext.row_sums import Floats, scale_rows
from models.unpicklable import Unpicklable


class TextModel(Protocol):
    """A model that makes the vector of a text.

    Attributes:
        dim: length of a vector.
        statistics: of a catalogue, if the model has them.
    """

    dim: int
    statistics: CatalogueStatistics | None

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """Return the vector of each list of text fields: float32[n, dim]."""


class _NoMeaning:
    """A model whose vectors have no values, so that a blend of it is the lexical part alone."""

    dim = 0
    distilled = None

    def __init__(self, statistics: CatalogueStatistics) -> None:
        self.statistics: CatalogueStatistics | None = replace(
            statistics, common_direction=np.zeros(0, dtype=np.float32)
        )

    def word_vectors(self, words: ByteStrings) -> Floats:
        return np.zeros((len(words), 0), dtype=np.float32)

    def in_vocabulary(self, words: Sequence[str]) -> np.ndarray:
        return np.ones(len(words), dtype=bool)


class TextBlendEmbedder(Unpicklable):
    """A model of texts with the statistics of its catalogue.

    Attributes:
        dim: length of a vector.
        reads: "text".
        phrases: promotional phrases, which the letters leave out of titles.
        field_count: number of fields beside title and description.
        letters_from: where the lexical part of a vector begins.
    """

    reads: Literal["tokens", "text"] = "text"

    def __init__(self, model: TextModel, blend: Blend) -> None:
        """Prepare for one blend.

        Raises:
            ModelError: the model has no statistics.
        """
        statistics = required_statistics(model.statistics)
        self._model = model
        self._common = statistics.common_direction
        lexical_dim = blend.lexical_dim(model.dim)
        self._letters = BlendEmbedder(_NoMeaning(statistics), replace(blend, dim=lexical_dim))
        self._semantic_length = (1 - blend.lexical_weight) ** 0.5 if lexical_dim else 1.0
        self.dim = model.dim + lexical_dim
        self.letters_from = model.dim
        self.field_count = len(blend.field_weights)
        self.phrases = statistics.phrases if blend.drop_phrases else ()

    def embed_fields(
        self,
        titles: pa.Array,
        descriptions: pa.Array,
        *fields: pa.Array,
        texts: Sequence[Sequence[str]],
    ) -> Floats:
        """Return the vectors of items. The other items do not change an item's vector by a bit.

        Args:
            titles: n lists of strings, the tokens. Empty ones and nulls are left out.
            descriptions: n lists, of the same type.
            fields: n lists of each of the blend's further fields, which are part of the letters.
            texts: n lists of the items' titles and descriptions.

        Returns:
            float32[n, dim]. `lexical_weight` sets the lengths of the semantic and the lexical
            part, unless a part is zeros.

        Raises:
            TypeError: a column does not contain lists of strings.
        """
        out = np.empty((len(titles), self.dim), dtype=np.float32)
        split = self._model.dim
        semantic = self._model.embed(texts)
        along = np.einsum("ij,j->i", semantic, self._common)
        scale_rows(semantic - along[:, None] * self._common, self._semantic_length, out[:, :split])
        if split < self.dim:
            out[:, split:] = self._letters.embed_fields(titles, descriptions, *fields)
        return out

    def item_features(
        self, titles: pa.Array, descriptions: pa.Array, *fields: pa.Array
    ) -> ItemFeatures:
        """See `BlendEmbedder.item_features`."""
        return self._letters.item_features(titles, descriptions, *fields)

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """A blend reads tokens and text: use `embed_fields`.

        Raises:
            TypeError: always.
        """
        raise TypeError("a blend with a model of texts reads tokens and text: use embed_fields")
