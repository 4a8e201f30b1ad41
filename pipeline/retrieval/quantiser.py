"""The quantiser: spherical k-means centroids that cut a catalogue into lists."""

import math

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.centroid_order import order_centroids
from pipeline.retrieval.ranking import Int64, kth_score_bound, rank_in_row, rank_order
from pipeline.retrieval.vectors import Float32, squared_norms, unit_vectors

# The mean size of a list that the number of lists aims at: assigning an item costs as many
# products as there are lists, so that large catalogues have longer ones.
_MEAN_LIST = (1_000, 4_000)
_POINTS_A_CENTROID = 50
_LEAST_POINTS_A_CENTROID = 16
# More change no recall that can be measured (benchmarks/README.md).
_ITERATIONS = 6
# Scores held at once: 16 MB, whatever the number of lists.
_BLOCK_SCORES = 1 << 22
_PAIR_BLOCK = 256


def list_count(items: int, sample: int) -> int:
    """How many lists a catalogue of this many vectors is cut into.

    Args:
        items: vectors in the catalogue.
        sample: vectors to train on, at most: a centroid needs some of them.
    """
    mean = min(max(math.sqrt(items), _MEAN_LIST[0]), _MEAN_LIST[1])
    return max(1, min(math.ceil(items / mean), sample // _LEAST_POINTS_A_CENTROID))


def sample_size(nlist: int, most: int) -> int:
    """How many vectors the quantiser is trained on."""
    return min(most, nlist * _POINTS_A_CENTROID)


def train(sample: Float32, nlist: int, seed: int) -> Float32:
    """Spherical k-means (Dhillon and Modha 2001, Machine Learning 42:143).

    Near centroids have near numbers (line.py). A centroid that loses all its points is put beside
    that of the most points.

    Args:
        sample: float32[n, dim]; the same rows in the same order give the same centroids.
        nlist: number of centroids; lowered to n where there are fewer vectors.
        seed: of the first choice of centroids.

    Returns:
        float32[nlist, dim], unit length.
    """
    points = unit_vectors(sample)
    nlist = min(nlist, len(points))
    rng = np.random.default_rng(seed)
    centroids = points[np.sort(rng.choice(len(points), nlist, replace=False))]
    for _ in range(_ITERATIONS):
        nearest = _nearest(points, centroids)
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=nlist)
        full = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[full]
        centroids[full] = np.add.reduceat(points[order], starts, axis=0)
        by_size = np.argsort(-counts, kind="stable")
        for empty, large in zip(np.flatnonzero(counts == 0), by_size, strict=False):
            noise = rng.standard_normal((1, points.shape[1]), dtype=np.float32)
            centroids[empty] = (unit_vectors(centroids[[large]]) + np.float32(0.01) * noise)[0]
        centroids = unit_vectors(centroids)
    return centroids[order_centroids(centroids)]


def list_sizes(points: Float32, centroids: Float32) -> Int64:
    """How many of the points each centroid is nearest to: int64[nlist]."""
    return np.bincount(_nearest(points, centroids), minlength=len(centroids))


def _nearest(points: Float32, centroids: Float32) -> Int64:
    block = max(1, _BLOCK_SCORES // len(centroids))
    return np.concatenate(
        [
            np.argmax(points[i : i + block] @ centroids.T, axis=1)
            for i in range(0, len(points), block)
        ]
    )


def probe(vectors: Float32, centroids: Float32, nprobe: int) -> npt.NDArray[np.int32]:
    """The lists nearest to each vector, nearest first, ties by number.

    Args:
        vectors: float32[n, dim].
        centroids: float32[nlist, dim], unit length.
        nprobe: lists a vector, at most nlist.

    Returns:
        int32[n, nprobe]; the first is the list that the item is in.
    """
    nprobe = min(nprobe, len(centroids))
    block = max(1, _BLOCK_SCORES // len(centroids))
    blocks = [
        _probe_block(vectors[i : i + block], centroids, nprobe)
        for i in range(0, len(vectors), block)
    ]
    return np.concatenate([np.empty((0, nprobe), np.int32), *blocks])


def centroid_ranks(vectors: Float32, centroids: Float32) -> npt.NDArray[np.int32]:
    """Which of a vector's nearest lists each list is: int32[n, nlist], 0 for the nearest."""
    order = np.argsort(-(unit_vectors(vectors) @ centroids.T), axis=1, kind="stable")
    found = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(found, order, np.arange(len(centroids), dtype=np.int32)[None], axis=1)
    return found


def _probe_block(vectors: Float32, centroids: Float32, nprobe: int) -> npt.NDArray[np.int32]:
    scores = unit_vectors(vectors) @ centroids.T
    # The product's last bits vary with its shape: what is so near that they decide is computed
    # pair by pair.
    margin = np.float32((vectors.shape[1] + 8) * 2.0**-22)
    least = kth_score_bound(scores, nprobe) - margin
    flat = np.flatnonzero(scores >= least[:, None])
    rows, lists = np.divmod(flat, len(centroids))
    order = rank_order(rows, scores.ravel()[flat], lists.__getitem__)
    rows, lists = rows[order], lists[order]
    near = scores[rows, lists].astype(np.float64)
    close = np.zeros(len(rows), dtype=bool)
    close[1:] = (rows[1:] == rows[:-1]) & (near[:-1] - near[1:] < margin)
    close[:-1] |= close[1:]
    if close.any():
        near[close] = _exact(vectors, centroids, rows[close], lists[close])
        order = np.lexsort((lists, -near, rows))
        rows, lists = rows[order], lists[order]
    return lists[rank_in_row(rows) < nprobe].reshape(len(vectors), nprobe).astype(np.int32)


def _exact(
    vectors: Float32, centroids: Float32, rows: Int64, lists: Int64
) -> npt.NDArray[np.float64]:
    """Cosines of pairs, each computed in float64 from its own two vectors."""
    lengths = np.sqrt(squared_norms(vectors))
    lengths[lengths == 0] = 1
    found = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _PAIR_BLOCK):
        block = slice(start, start + _PAIR_BLOCK)
        products = vectors[rows[block]].astype(np.float64)
        products *= centroids[lists[block]]
        np.add.reduce(products, axis=1, out=found[block])
    return found / lengths[rows]
