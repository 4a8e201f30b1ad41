"""Exact search with dense vectors and with TF-IDF: each item's nearest others, and cosines."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from models.embedder import Embedder
from pipeline.retrieval.queries import Queries
from pipeline.retrieval.ranking import Int64, ranks
from pipeline.retrieval.search import Group
from pipeline.retrieval.vectors import Float64, cosines, from_bytes, squares, to_bytes
from pipeline.stages.embed import round_vectors

# Items that are compared with each other at a time, and items that are embedded at a time.
_ITEMS_AT_ONCE = 4_096
# Scores that are held at a time.
_SCORES_AT_ONCE = 1 << 22
# The cosine of a pair of which an item has no vector: as far apart as can be.
_APART = -1.0


class Method(Protocol):
    """A way to compare items; they are in ascending order of their ids."""

    def nearest(self, k: int) -> Int64:
        """The k items nearest to each by cosine, itself left out: int64[n, k], best first.

        Ties go by item id. -1 where there is none: an item without a vector finds nothing and is
        found by none.
        """

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """The cosine of each pair of items: float64[pairs]; -1 where one has no vector."""


class Dense:
    """Vectors as the embeddings table has them.

    Attributes:
        ids: string[n], ascending.
        halves: binary[n], float16; null where there is no vector.
    """

    def __init__(self, ids: pa.Array, halves: pa.Array) -> None:
        self._total = len(ids)
        self._with = np.flatnonzero(np.asarray(halves.is_valid()))
        self._ids, self._halves = ids.take(pa.array(self._with)), halves.drop_null()

    def nearest(self, k: int) -> Int64:
        """See Method."""
        found = np.full((self._total, k), -1, dtype=np.int64)
        count = len(self._with)
        if not count:
            return found
        # Lists of a size that a core's cache holds; each is searched for each query.
        lists = np.arange(count) // _ITEMS_AT_ONCE
        group = Group(lists, self._ids, self._halves, k)
        for start in range(0, count, _ITEMS_AT_ONCE):
            some = slice(start, start + _ITEMS_AT_ONCE)
            ids, vectors = self._ids[some], from_bytes(self._halves[some])
            every = np.arange(lists[-1] + 1)
            rows = np.repeat(np.arange(len(ids)), len(every))
            best = group.search(Queries(ids, vectors, rows, np.tile(every, len(ids))))
            query = np.repeat(self._with[some], best.counts)
            found[query, ranks(query)] = self._with[best.items]
        return found

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """See Method."""
        place = np.full(self._total, -1, dtype=np.int64)
        place[self._with] = np.arange(len(self._with))
        scores = np.full(len(left), _APART)
        both = (place[left] >= 0) & (place[right] >= 0)
        if both.any():
            vectors = from_bytes(self._halves)
            mine = (vectors, squares(vectors))
            scores[both] = cosines(mine, mine, place[left[both]], place[right[both]])
        return scores


def mean(model: Embedder, ids: pa.Array, tokens: pa.ListArray) -> Dense:
    """The plain mean of the tokens' unit vectors, rounded as the embeddings table is."""
    parts = [
        round_vectors(model.embed(tokens[start : start + _ITEMS_AT_ONCE].to_pylist()))
        for start in range(0, len(tokens), _ITEMS_AT_ONCE)
    ]
    vectors = np.concatenate(parts)
    return Dense(ids, pc.if_else(pa.array(vectors.any(axis=1)), to_bytes(vectors), None))


class Tfidf:
    """Word TF-IDF: 1 + log tf, log((1 + n) / (1 + df)) + 1, rows of length 1.

    As scikit-learn's TfidfVectorizer(sublinear_tf=True) has it; the n items are the documents.
    """

    def __init__(self, tokens: pa.ListArray) -> None:
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
        found = np.full((len(empty), k), -1, dtype=np.int64)
        others = self.matrix.T.tocsr()
        for rows in self._blocks():
            # Each sum is of its own two rows in one order: the blocks do not change it.
            scores = (self.matrix[rows] @ others).toarray().astype(np.float32)
            scores[:, empty] = _APART
            scores[np.arange(len(rows)), rows] = _APART
            best = _best(scores, k)
            found[rows, : best.shape[1]] = best
        found[empty] = -1
        return found

    def _blocks(self) -> Iterator[Int64]:
        total = self.matrix.shape[0]
        size = max(1, _SCORES_AT_ONCE // max(total, 1))
        for start in range(0, total, size):
            yield np.arange(start, min(start + size, total))

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """See Method."""
        scores = np.full(len(left), _APART)
        empty = np.diff(self.matrix.indptr) == 0
        both = ~(empty[left] | empty[right])
        products = self.matrix[left[both]].multiply(self.matrix[right[both]])
        scores[both] = np.asarray(products.sum(axis=1)).ravel().astype(np.float32)
        return scores


def _best(scores: np.ndarray, k: int) -> Int64:
    """The k best columns of each row, ties to the lower: int64[n, min(k, columns)], best first.

    Args:
        scores: float32[n, m]; what is negative is not to be found: -1 stands for it.
        k: at most so many.
    """
    columns = scores.shape[1]
    k = min(k, columns)
    # The bits of floats that are not negative ascend with them; negative ones' are negative.
    keys = scores.view(np.int32).astype(np.int64)
    keys <<= 32
    keys += np.arange(columns)[::-1]
    keys.partition(columns - k, axis=1)
    best = keys[:, columns - k :]
    best.sort(axis=1)
    best = best[:, ::-1]
    return np.where(best < 0, -1, columns - 1 - (best & 0xFFFFFFFF))
