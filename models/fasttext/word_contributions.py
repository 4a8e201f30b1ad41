"""Vectors taken apart: what each word adds to a vector, so that a cosine is a sum over words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.fasttext.row_sums import Floats


@dataclass(frozen=True)
class WordContributions:
    """A vector as a sum of its words' parts.

    Attributes:
        words: n, each once.
        rows: float64[n, dim], whose sum is the vector.
        split: where the part that is made of letters begins; dim if there is none.
    """

    words: list[str]
    rows: npt.NDArray[np.float64]
    split: int

    @property
    def length(self) -> float:
        """Of the vector."""
        return float(np.linalg.norm(self.rows.sum(axis=0)))


class Means(Protocol):
    """A model whose vectors are means of words' unit vectors."""

    dim: int

    def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
        """The vector of each list: float32[n, dim]."""


def mean_contributions(model: Means, tokens: Sequence[str]) -> WordContributions:
    """The terms of a mean of unit vectors; words without a vector add nothing."""
    counts = Counter(token for token in tokens if token)
    words = list(counts)
    vectors = model.embed([[word] for word in words]).astype(np.float64).reshape(-1, model.dim)
    times = np.array([counts[word] for word in words], dtype=np.float64)
    total = max(times[vectors.any(axis=1)].sum(), 1.0)
    return WordContributions(words, vectors * (times / total)[:, None], model.dim)


def pairwise_products(
    one: WordContributions, other: WordContributions
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What each pair of words adds to the cosine of two vectors.

    Returns:
        float64[n, m] by meaning, and float64[n, m] by letters; all together sum to the cosine.
    """
    lengths = (one.length * other.length) or 1.0
    parts = (slice(0, one.split), slice(one.split, None))
    meaning, letters = (one.rows[:, p] @ other.rows[:, p].T / lengths for p in parts)
    return meaning, letters
