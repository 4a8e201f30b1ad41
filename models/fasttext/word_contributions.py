"""Vectors as sums over words, so that a cosine is a sum over pairs of words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.fasttext.row_sums import Floats

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WordContributions:
    """A vector as the sum of what its words contribute.

    Attributes:
        words: n different words.
        rows: float64[n, dim], whose sum is the vector.
        split: index of the first value of the lexical part; dim if there is none.
    """

    words: list[str]
    rows: Float64s
    split: int

    @property
    def length(self) -> float:
        """Euclidean length of the vector."""
        return float(np.linalg.norm(self.rows.sum(axis=0)))


class MeanEmbedder(Protocol):
    """An embedder whose vectors are means of the unit vectors of words."""

    dim: int

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """Return the vector of each list: float32[n, dim]."""


def mean_contributions(embedder: MeanEmbedder, tokens: Sequence[str]) -> WordContributions:
    """Split a mean of unit vectors into words; a word without a vector contributes zeros."""
    counts = Counter(token for token in tokens if token)
    words = list(counts)
    vectors = embedder.embed([[word] for word in words]).astype(np.float64)
    vectors = vectors.reshape(-1, embedder.dim)
    frequencies = np.array([counts[word] for word in words], dtype=np.float64)
    total = max(frequencies[vectors.any(axis=1)].sum(), 1.0)
    return WordContributions(words, vectors * (frequencies / total)[:, None], embedder.dim)


def pairwise_products(
    first: WordContributions, second: WordContributions
) -> tuple[Float64s, Float64s]:
    """Return what each pair of words contributes to the cosine of two vectors.

    Returns:
        float64[n, m] of the semantic part and float64[n, m] of the lexical part. The cosine is
        the sum of all their values.
    """
    lengths = (first.length * second.length) or 1.0
    parts = (slice(0, first.split), slice(first.split, None))
    semantic, lexical = (first.rows[:, p] @ second.rows[:, p].T / lengths for p in parts)
    return semantic, lexical
