"""Exact search of one list: the kernel of the join, and the oracle of its recall."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.vectors import Float32, pair_cosines, unit

_QUERY_BLOCK = 512
_PAIR_BLOCK = 1 << 15


@dataclass(frozen=True)
class Candidates:
    """The best items of some queries, in the order of the queries, each query's best first.

    Attributes:
        counts: int64[n queries], candidates of each query.
        items: int64[sum of counts], positions in the list's `ids`.
        scores: float32[sum of counts], cosines.
    """

    counts: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    scores: Float32


class List:
    """The items of one list, held for the queries that stream past.

    Attributes:
        ids: the items' ids in ascending order, by code point.
    """

    def __init__(self, ids: list[str], vectors: Float32, k: int) -> None:
        """Take a list's items.

        Args:
            ids: distinct ids.
            vectors: float32[n, dim], row by row theirs.
            k: how many candidates a query will be given.
        """
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
        order = order[_first_of_each(vectors[order], k + 1)]
        self.ids = [ids[i] for i in order]
        self._k = k
        self._vectors = vectors[order]
        self._unit = unit(self._vectors)
        self._place = {item: place for place, item in enumerate(self.ids)}

    def search(self, ids: list[str], vectors: Float32) -> Candidates:
        """The k items nearest to each query by cosine, ties by id; a query never finds itself.

        Args:
            ids: the queries' ids.
            vectors: float32[n, dim].
        """
        blocks = [
            self._search_block(ids[i : i + _QUERY_BLOCK], vectors[i : i + _QUERY_BLOCK])
            for i in range(0, len(ids), _QUERY_BLOCK)
        ]
        return Candidates(
            counts=np.concatenate([np.empty(0, np.int64), *(b.counts for b in blocks)]),
            items=np.concatenate([np.empty(0, np.int64), *(b.items for b in blocks)]),
            scores=np.concatenate([np.empty(0, np.float32), *(b.scores for b in blocks)]),
        )

    def _search_block(self, ids: list[str], vectors: Float32) -> Candidates:
        approximate = unit(vectors) @ self._unit.T
        for row, item in enumerate(ids):
            place = self._place.get(item)
            if place is not None:
                approximate[row, place] = -np.inf
        rows, items = self._within_reach(approximate)
        scores = np.concatenate(
            [
                np.empty(0, np.float32),
                *(
                    pair_cosines(vectors[rows[i:j]], self._vectors[items[i:j]])
                    for i, j in _blocks(len(rows), _PAIR_BLOCK)
                ),
            ]
        )
        best = np.lexsort((items, -scores, rows))
        rows, items, scores = rows[best], items[best], scores[best]
        counts = np.bincount(rows, minlength=len(ids))
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = rank < self._k
        return Candidates(np.minimum(counts, self._k), items[kept], scores[kept])

    def _within_reach(
        self, approximate: Float32
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and columns of every score that could be among the k best of its row.

        A float32 dot product of unit vectors is off by at most about dim * 2**-24, and so is the
        k-th best: what is further below it than twice that can't belong to the k best.
        """
        size = approximate.shape[1]
        least = np.full(len(approximate), -np.inf, dtype=np.float32)
        if size > self._k:
            least = np.partition(approximate, size - self._k, axis=1)[:, size - self._k]
        margin = np.float32((self._unit.shape[1] + 8) * 2.0**-22)
        near = (approximate >= (least - margin)[:, None]) & (approximate > -np.inf)
        rows, items = np.nonzero(near)
        return rows, items


def _first_of_each(vectors: Float32, most: int) -> npt.NDArray[np.int64]:
    """Positions of the first `most` of each distinct vector, ascending.

    Items with one vector tie at any query, and the lowest ids win: the others can't be seen.
    """
    if len(vectors) <= most or not vectors.shape[1]:
        return np.arange(len(vectors))
    rows = np.ascontiguousarray(vectors + np.float32(0))  # -0.0 becomes 0.0
    keys = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    if sizes.max() <= most:
        return np.arange(len(vectors))
    by_group = np.argsort(group, kind="stable")
    place = np.arange(len(vectors)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(by_group[place < most])


def _blocks(total: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, total)) for start in range(0, total, size)]
