"""Exact search with dense vectors and with TF-IDF: each item's nearest neighbours, and cosines."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from models.embedder import Embedder
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import (
    Float32,
    Float64,
    cosines,
    from_bytes,
    squared_norms,
    to_bytes,
)
from pipeline.stages.embed.batches import round_vectors

# Items that are embedded in one call.
_BLOCK_ITEMS = 4_096
# Scores that are in memory at a time.
_BLOCK_SCORES = 1 << 23
# The cosine of a pair in which an item has no vector: the lowest one.
LOWEST_COSINE = -1.0


class Method(Protocol):
    """A way to compare items; they are in ascending order of their ids."""

    def nearest(self, k: int) -> Int64:
        """The k nearest other items of every item by cosine: int64[n, k], best first.

        Ties are ordered by item id. -1 stands for none: an item without a vector has no neighbours
        and is nobody's neighbour.
        """

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """The cosine of each pair of items: float64[pairs]; -1 where one has no vector."""


class Dense:
    """Vectors as the embeddings table has them."""

    def __init__(self, halves: pa.Array) -> None:
        """Store the items' vectors.

        Args:
            halves: binary[n], float16; null for no vector.
        """
        self._total = len(halves)
        self._items = np.flatnonzero(np.asarray(halves.is_valid()))
        self._halves = halves.drop_null()

    def nearest(self, k: int) -> Int64:
        """See Method."""
        nearest = np.full((self._total, k), -1, dtype=np.int64)
        # Products of float16 values, and their sums as long as these are below 32, are exact in
        # float64: the cosines are those of `vectors.cosines`, whatever the order of summation.
        wide = from_bytes(self._halves).astype(np.float64)
        lengths = np.einsum("ij,ij->i", wide, wide)
        for rows in _blocks(len(wide)):
            scores = wide[rows] @ wide.T
            scores /= np.sqrt(lengths[rows, None] * lengths)
            best = _best(scores.astype(np.float32), rows, k)
            nearest[self._items[rows], : best.shape[1]] = np.where(best < 0, -1, self._items[best])
        return nearest

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """See Method."""
        position = np.full(self._total, -1, dtype=np.int64)
        position[self._items] = np.arange(len(self._items))
        scores = np.full(len(left), LOWEST_COSINE)
        both = (position[left] >= 0) & (position[right] >= 0)
        if both.any():
            vectors = from_bytes(self._halves)
            normed = (vectors, squared_norms(vectors))
            scores[both] = cosines(normed, normed, position[left[both]], position[right[both]])
        return scores


def mean(model: Embedder, tokens: pa.ListArray) -> Dense:
    """The plain mean of the tokens' unit vectors, rounded as the embeddings table is.

    Args:
        model: the model of the tokens' vectors.
        tokens: list<string>[n].
    """
    parts = [
        round_vectors(model.embed(tokens[start : start + _BLOCK_ITEMS].to_pylist()))
        for start in range(0, len(tokens), _BLOCK_ITEMS)
    ]
    vectors = np.concatenate(parts)
    return Dense(pc.if_else(pa.array(vectors.any(axis=1)), to_bytes(vectors), None))


class Tfidf:
    """Word TF-IDF: 1 + log tf, log((1 + n) / (1 + df)) + 1, rows of length 1.

    As scikit-learn's TfidfVectorizer(sublinear_tf=True) has it; the n items are the documents.

    Attributes:
        matrix: float64[n, words], sparse; a row of zeros where there is no token.
    """

    def __init__(self, tokens: pa.ListArray) -> None:
        """Compute the weights of the items' tokens.

        Args:
            tokens: list<string>[n], none null.
        """
        counts = np.asarray(pc.list_value_length(tokens))
        words = tokens.flatten().dictionary_encode()
        shape = (len(tokens), max(len(words.dictionary), 1))
        rows = np.repeat(np.arange(len(tokens)), counts)
        ones = np.ones(len(rows))
        matrix = sparse.csr_matrix((ones, (rows, np.asarray(words.indices))), shape=shape)
        frequency = np.bincount(matrix.indices, minlength=shape[1])
        weights = np.log((1 + shape[0]) / (1 + frequency)) + 1
        matrix.data = (1 + np.log(matrix.data)) * weights[matrix.indices]
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        matrix.data /= np.repeat(lengths, np.diff(matrix.indptr))
        self.matrix = matrix

    def nearest(self, k: int) -> Int64:
        """See Method."""
        empty = np.diff(self.matrix.indptr) == 0
        nearest = np.full((len(empty), k), -1, dtype=np.int64)
        others = self.matrix.T.tocsr()
        for rows in _blocks(len(empty)):
            # Each sum is of its own two rows in one order: the blocks do not change it.
            scores = (self.matrix[rows] @ others).toarray().astype(np.float32)
            scores[:, empty] = -np.inf
            best = _best(scores, rows, k)
            nearest[rows, : best.shape[1]] = best
        nearest[empty] = -1
        return nearest

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """See Method."""
        scores = np.full(len(left), LOWEST_COSINE)
        empty = np.diff(self.matrix.indptr) == 0
        both = ~(empty[left] | empty[right])
        products = self.matrix[left[both]].multiply(self.matrix[right[both]])
        scores[both] = np.asarray(products.sum(axis=1)).ravel().astype(np.float32)
        return scores


def _blocks(total: int) -> Iterator[Int64]:
    """Positions of items in blocks whose scores with all other items fit into memory."""
    size = max(1, _BLOCK_SCORES // max(total, 1))
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))


def _best(scores: Float32, rows: Int64, k: int) -> Int64:
    """The k best columns of each row, best first, ties to the lower: int64[n, min(k, m)].

    Args:
        scores: float32[n, m], none NaN; -inf for columns that are no candidates. Overwritten.
        rows: int64[n], the column of each row's own item, which is no candidate.
        k: the maximum number of columns; -1 where there are fewer.
    """
    columns = scores.shape[1]
    k = min(k, columns)
    scores[np.arange(len(rows)), rows] = -np.inf
    scores += np.float32(0)  # -0.0 becomes 0.0
    bits = scores.view(np.int32)
    # As integers negative floats descend where they should ascend.
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    keys <<= 32
    keys += np.arange(columns)[::-1]
    keys.partition(columns - k, axis=1)
    best = np.sort(keys[:, columns - k :], axis=1)[:, ::-1]
    positions = columns - 1 - (best & 0xFFFFFFFF)
    return np.where(np.take_along_axis(scores, positions, axis=1) == -np.inf, -1, positions)
