"""Vectors as sums over words, so that a cosine is a sum over pairs of words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from models.fasttext.bytestrings import ByteStrings, encode
from models.fasttext.hashing import Hashes
from models.fasttext.lexical_features import word_features
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


@dataclass(frozen=True)
class TitleWords:
    """The different words of n titles, and the length of what each adds to its item's vector.

    What a word adds to two vectors has one direction. So the product of the lengths, summed over
    the parts, is what the word contributes to the dot product: the diagonal of
    `pairwise_products`, but for the vectors' own lengths. Where a distilled model stands beside the
    other, both have one length, and the product may be a little more.

    Attributes:
        words: string[k], title after title; those of a title in the order of their hashes.
        hashes: uint64[k], features of the words.
        offsets: int64[n + 1], where each title's words start and the last one's end.
        lengths: float32[k, 2], of the semantic and of the lexical part.
    """

    words: pa.Array
    hashes: Hashes
    offsets: npt.NDArray[np.int64]
    lengths: Floats

    @staticmethod
    def concat(parts: "Sequence[TitleWords]") -> "TitleWords":
        """Put the titles of one or more parts together."""
        counts = np.concatenate([[0], *(np.diff(part.offsets) for part in parts)])
        return TitleWords(
            pa.concat_arrays([part.words for part in parts]),
            np.concatenate([part.hashes for part in parts]),
            np.cumsum(counts),
            np.concatenate([part.lengths for part in parts]),
        )


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


def mean_title_words(
    embedder: MeanEmbedder, titles: pa.Array, descriptions: pa.Array
) -> TitleWords:
    """The words of titles, for vectors that are means; see `BlendEmbedder.title_words`."""
    title_lists, all_lists = titles.to_pylist(), []
    for title, description in zip(title_lists, descriptions.to_pylist(), strict=True):
        all_lists.append(Counter(filter(None, [*(title or ()), *(description or ())])))
    words = list(dict.fromkeys(word for counts in all_lists for word in counts))
    vectors = embedder.embed([[word] for word in words]).reshape(-1, embedder.dim)
    lengths = dict(zip(words, np.linalg.norm(vectors, axis=1).tolist(), strict=True))
    features = word_features(ByteStrings.from_list([encode(word) for word in words]))
    hash_of = dict(zip(words, features.tolist(), strict=True))
    flat: list[tuple[str, int, float]] = []
    offsets = [0]
    for title, counts in zip(title_lists, all_lists, strict=True):
        total = max(sum(count for word, count in counts.items() if lengths[word]), 1)
        for word in sorted(set(filter(None, title or ())), key=hash_of.__getitem__):
            flat.append((word, hash_of[word], lengths[word] * counts[word] / total))
        offsets.append(len(flat))
    semantic = np.array([length for _, _, length in flat], dtype=np.float32)
    return TitleWords(
        pa.array([word for word, _, _ in flat], pa.string()),
        np.array([number for _, number, _ in flat], dtype=np.uint64),
        np.array(offsets, dtype=np.int64),
        np.stack([semantic, np.zeros_like(semantic)], axis=1),
    )


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


def values_at(counts: csr_matrix, rows: np.ndarray, columns: np.ndarray) -> Floats:
    """Return a sparse matrix' values at some places: float32[k], 0 where it has none.

    Args:
        counts: the matrix, its indices sorted.
        rows: int[k], the places' rows.
        columns: int[k], and their columns.
    """
    row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    keys = row_of * counts.shape[1] + counts.indices
    wanted = rows * counts.shape[1] + columns
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.float32)
    nearest = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[nearest] == wanted, counts.data[nearest], np.float32(0))
