"""Sentence vectors of batches, from a packed model.

The unique tokens of a batch are looked up once. Then one sparse matrix product computes each
sentence as the weighted sum of its tokens' rows.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.fasttext.bytestrings import ByteStrings, block_ranges, encode, offsets_from_lengths
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.model import Model
from models.fasttext.row_sums import Floats, normalize_rows
from models.fasttext.source import Header
from models.fasttext.supervised_vectors import SupervisedVectors
from models.fasttext.token_batch import TokenBatch
from models.fasttext.unsupervised_vectors import UnsupervisedVectors
from models.fasttext.word_contributions import (
    TitleWords,
    WordContributions,
    mean_contributions,
    mean_title_words,
)
from models.unpicklable import Unpicklable

_BLOCK_TOKENS = 1 << 18

# The tokens of n lists end to end, and int64[n + 1], where each list starts and the last one ends.
FlatLists = tuple[pa.Array, npt.NDArray[np.int64]]


class Embedder(Unpicklable):
    """A model as arrays; all processes of a host share the memory of a mapped one.

    Attributes:
        dim: length of a vector.
        header: settings of the model.
        statistics: of a catalogue, if the model has them.
        distilled: a second model of words, which only a blend uses.
        reads: "tokens".
    """

    reads: Literal["tokens", "text"] = "tokens"

    def __init__(self, model: Model) -> None:
        self.header: Header = model.header
        self.dim = model.header.dim
        self.statistics: CatalogueStatistics | None = model.statistics
        self.distilled = Embedder(model.distilled) if model.distilled else None
        self._vocabulary = model.vocabulary
        self._vectors = (
            SupervisedVectors(model) if model.header.supervised else UnsupervisedVectors(model)
        )

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """Return the sentence vector of each token list.

        For an unsupervised model it is the mean of the tokens' unit vectors, without tokens that
        have none. For a supervised model it is the library's vector of the tokens joined by
        spaces: the mean of the input rows of words, n-grams and the end of the sentence. Empty
        tokens are left out, and white space inside a token does not split it.

        Args:
            token_lists: n lists of tokens.

        Returns:
            float32[n, dim], a zero row for an empty list and where no token has a vector.
        """
        return self._embed(*self.flatten(token_lists))

    def embed_arrow(self, token_lists: pa.Array) -> Floats:
        """As `embed`, for an Arrow column of lists; a null list has a zero row.

        Args:
            token_lists: n lists (pa.ListArray or LargeListArray) of strings or binaries.

        Returns:
            float32[n, dim].

        Raises:
            TypeError: the column does not contain lists of strings.
        """
        return self._embed(*self.flatten_arrow(token_lists))

    def in_vocabulary(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which words are in the model's vocabulary: bool[n]."""
        return self._vocabulary.find(ByteStrings.from_list([encode(word) for word in words])) >= 0

    def word_contributions(self, tokens: Sequence[str]) -> WordContributions | None:
        """Return what each token adds to the vector; None for a supervised model (it is no sum)."""
        return None if self.header.supervised else mean_contributions(self, tokens)

    def title_words(self, titles: pa.Array, descriptions: pa.Array) -> TitleWords | None:
        """As `BlendEmbedder.title_words`; None for a supervised model."""
        return None if self.header.supervised else mean_title_words(self, titles, descriptions)

    @staticmethod
    def flatten(token_lists: Sequence[Sequence[str]]) -> FlatLists:
        """Join lists of tokens to one array."""
        lengths = np.fromiter(map(len, token_lists), dtype=np.int64, count=len(token_lists))
        tokens = list(chain.from_iterable(token_lists))
        try:
            values = pa.array(tokens, pa.large_string())
        except UnicodeEncodeError:
            values = pa.array(
                [None if token is None else encode(token) for token in tokens], pa.large_binary()
            )
        return values, offsets_from_lengths(lengths)

    @staticmethod
    def flatten_arrow(token_lists: pa.Array) -> FlatLists:
        """Join an Arrow column of lists to one array; a null list becomes an empty one.

        Raises:
            TypeError: the column does not contain lists of strings.
        """
        column_type = token_lists.type
        if not (pa.types.is_list(column_type) or pa.types.is_large_list(column_type)):
            raise TypeError(f"lists of strings are embedded, not {column_type}")
        lengths = token_lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        return token_lists.flatten(), offsets_from_lengths(lengths)

    def word_vectors(self, words: ByteStrings) -> Floats:
        """Return the vector of each word as a list of its own: float32[n, dim].

        Those of a supervised model are scaled to length 1, which others have already.
        """
        offsets = np.arange(len(words) + 1)
        vectors = self._vectors.embed(TokenBatch(words, offsets[:-1], offsets))
        if self.header.supervised:
            normalize_rows(vectors)
        return vectors

    def _embed(self, tokens: pa.Array, offsets: npt.NDArray[np.int64]) -> Floats:
        out = np.empty((len(offsets) - 1, self.dim), dtype=np.float32)
        for start, stop in token_blocks(offsets):
            first, last = int(offsets[start]), int(offsets[stop])
            part = tokens.slice(first, last - first)
            out[start:stop] = self._vectors.embed(
                TokenBatch.from_arrow(part, offsets[start : stop + 1] - first)
            )
        return out


def token_blocks(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut lists into blocks (start, stop) with a limited number of tokens."""
    return block_ranges(offsets, _BLOCK_TOKENS)
