"""Parents: a coarse level above the lists, so that a vector is compared with near lists only.

The lists of a parent have consecutive numbers. A vector is compared with the parents, and then
with the lists of the parents that are nearest to it.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.retrieval import nearest_centroids as nearest
from pipeline.retrieval import spherical_kmeans
from pipeline.retrieval.nearest_centroids import Int32
from pipeline.retrieval.ranking import Int64, group_by_list
from pipeline.retrieval.vectors import Float32, Float64, error_bound, unit_vectors

# Parents for each square root of the number of lists (benchmarks/README.md).
PER_ROOT = 3
# Scores of vectors with the lists of their parents that are computed at a time: 32 MB.
_BLOCK_SCORES = 1 << 23
# What is subtracted from the score of a list whose parent is not probed: more than two cosines
# can differ by, so that such lists come last.
_NOT_PROBED = 4


@dataclass(frozen=True)
class Parents:
    """The parents of lists.

    Attributes:
        centroids: float32[parents, dim], unit length.
        first_list: int64[parents + 1]: the lists of parent i are those from first_list[i] up to
            first_list[i + 1], not included. Each parent has one at least.
        probed: how many parents a vector probes.
    """

    centroids: Float32
    first_list: Int64
    probed: int

    @property
    def sizes(self) -> Int64:
        """How many lists each parent has: int64[parents]."""
        return np.diff(self.first_list)

    def of_lists(self) -> Int64:
        """The parent of each list: int64[nlist]."""
        return np.repeat(np.arange(len(self.centroids)), self.sizes)

    def probe(self, vectors: Float32, lists: Float32, nprobe: int) -> Int32:
        """The nearest lists of each vector, nearest first, ties by the list's number.

        Those of the probed parents come first. The others follow where those are too few.

        Args:
            vectors: float32[n, dim].
            lists: float32[nlist, dim], the centroids of the lists.
            nprobe: how many lists; at most nlist.

        Returns:
            int32[n, nprobe].
        """
        probed = nearest.nearest_centroids(vectors, self.centroids, self.probed)
        result = np.empty((len(vectors), nprobe), dtype=np.int32)
        has_enough = self.sizes[probed].sum(axis=1) >= nprobe
        # Near vectors probe the same parents, so that they share a product.
        order = np.argsort(probed[:, 0], kind="stable")
        order = order[has_enough[order]]
        width = probed.shape[1] * int(self.sizes.max())
        for block in nearest.blocks(len(order), width, _BLOCK_SCORES):
            rows = order[block]
            result[rows] = self._probe_children(vectors[rows], lists, probed[rows], nprobe)
        few = np.flatnonzero(~has_enough)
        for block in nearest.blocks(len(few), len(lists)):
            rows = few[block]
            result[rows] = self._probe_all(vectors[rows], lists, probed[rows], nprobe)
        return result

    def scores(self, vectors: Float32, lists: Float32) -> Float32:
        """The scores that decide the order of all lists: float32[n, nlist].

        They are cosines, and lower where the list's parent is not probed.
        """
        probed = nearest.nearest_centroids(vectors, self.centroids, self.probed)
        return unit_vectors(vectors) @ lists.T - self._penalties(probed)

    def _penalties(self, probed: Int32) -> Float32:
        """What is subtracted from the score of each list: float32[n, nlist]."""
        penalties = np.full((len(probed), len(self.centroids)), _NOT_PROBED, dtype=np.float32)
        np.put_along_axis(penalties, probed.astype(np.int64), 0, axis=1)
        return np.repeat(penalties, self.sizes, axis=1)

    def _probe_children(
        self, vectors: Float32, lists: Float32, probed: Int32, nprobe: int
    ) -> Int32:
        directions, count = unit_vectors(vectors), probed.shape[1]
        width = int(self.sizes[probed].max())
        scores = np.full((len(vectors), count, width), -np.inf, dtype=np.float32)
        for parent, cells in group_by_list(probed.ravel(), np.arange(probed.size)):
            rows, slots = np.divmod(cells, count)
            first, end = self.first_list[parent : parent + 2]
            scores[rows, slots, : end - first] = directions[rows] @ lists[first:end].T
        return nearest.best_centroids(
            scores.reshape(len(vectors), -1),
            nprobe,
            lambda rows, cells: self.first_list[probed[rows, cells // width]] + cells % width,
            lambda rows, numbers: nearest.pair_cosines(vectors, lists, rows, numbers),
            error_bound(vectors.shape[1]),
        )

    def _probe_all(self, vectors: Float32, lists: Float32, probed: Int32, nprobe: int) -> Int32:
        penalties = self._penalties(probed)

        def exact_scores(rows: Int64, numbers: Int64) -> Float64:
            cosines = nearest.pair_cosines(vectors, lists, rows, numbers)
            return cosines - penalties[rows, numbers]

        return nearest.best_centroids(
            unit_vectors(vectors) @ lists.T - penalties,
            nprobe,
            lambda _, columns: columns,
            exact_scores,
            error_bound(vectors.shape[1]),
        )


def group_lists(lists: Float32, probed: int, seed: int) -> tuple[Parents, Int64]:
    """Group lists under parents, which are the centroids of a k-means of the lists.

    Args:
        lists: float32[nlist, dim], the centroids of the lists.
        probed: how many parents a vector probes.
        seed: of the k-means.

    Returns:
        the parents; and the order that the lists have under them, int64[nlist]. Lists of one
        parent keep their order.
    """
    count = min(len(lists), math.ceil(PER_ROOT * math.sqrt(len(lists))))
    centroids = spherical_kmeans.train(lists, count, seed)
    of_list = nearest.nearest_centroid(lists, centroids)
    sizes = np.bincount(of_list, minlength=count)
    first_list = np.concatenate([[0], np.cumsum(sizes[sizes > 0])])
    parents = Parents(centroids[sizes > 0], first_list, min(probed, int((sizes > 0).sum())))
    return parents, np.argsort(of_list, kind="stable")
