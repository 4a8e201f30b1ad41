"""The quantiser: centroids of spherical k-means that partition a catalogue into lists."""

import math

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.centroid_order import order_centroids
from pipeline.retrieval.ranking import Int64, kth_score_bound, rank_in_row, rank_order
from pipeline.retrieval.vectors import Float32, squared_norms, unit_vectors

# The mean length of a list that the number of lists aims at, least and greatest. Assigning an item
# costs one product for each list, so large catalogues have longer lists.
_MEAN_LIST = (1_000, 4_000)
_POINTS_PER_CENTROID = 50
_MIN_POINTS_PER_CENTROID = 16
# More iterations change no recall that can be measured (benchmarks/README.md).
_ITERATIONS = 6
# Scores computed at a time: 16 MB, whatever the number of lists.
_BLOCK_SCORES = 1 << 22
_PAIR_BLOCK = 256


def list_count(items: int, max_sample: int) -> int:
    """How many lists a catalogue is partitioned into.

    Args:
        items: vectors in the catalogue.
        max_sample: vectors to train on, at most; each centroid needs some of them.
    """
    mean = min(max(math.sqrt(items), _MEAN_LIST[0]), _MEAN_LIST[1])
    return max(1, min(math.ceil(items / mean), max_sample // _MIN_POINTS_PER_CENTROID))


def sample_size(nlist: int, max_sample: int) -> int:
    """How many vectors the quantiser is trained on."""
    return min(max_sample, nlist * _POINTS_PER_CENTROID)


def train(sample: Float32, nlist: int, seed: int) -> Float32:
    """Train spherical k-means (Dhillon and Modha 2001, Machine Learning 42:143).

    A centroid that has lost all its points is put beside the one with the most points. At the end
    the centroids are numbered so that near ones have near numbers (centroid_order.py).

    Args:
        sample: float32[n, dim]; the same rows in the same order give the same centroids.
        nlist: number of centroids; at most n.
        seed: of the first choice of centroids.

    Returns:
        float32[min(nlist, n), dim], unit length.
    """
    points = unit_vectors(sample)
    nlist = min(nlist, len(points))
    rng = np.random.default_rng(seed)
    centroids = points[np.sort(rng.choice(len(points), nlist, replace=False))]
    for _ in range(_ITERATIONS):
        nearest = _nearest(points, centroids)
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=nlist)
        filled = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[filled]
        # The sum of the points has the direction of their mean; its length does not matter.
        centroids[filled] = np.add.reduceat(points[order], starts, axis=0)
        largest_first = np.argsort(-counts, kind="stable")
        for empty, large in zip(np.flatnonzero(counts == 0), largest_first, strict=False):
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
    """The lists nearest to each vector, nearest first, ties by the list's number.

    Args:
        vectors: float32[n, dim].
        centroids: float32[nlist, dim], unit length.
        nprobe: how many lists; at most nlist.

    Returns:
        int32[n, min(nprobe, nlist)]; the first column is the list that the item itself is in.
    """
    nprobe = min(nprobe, len(centroids))
    block = max(1, _BLOCK_SCORES // len(centroids))
    blocks = [
        _probe_block(vectors[i : i + block], centroids, nprobe)
        for i in range(0, len(vectors), block)
    ]
    return np.concatenate([np.empty((0, nprobe), np.int32), *blocks])


def centroid_ranks(vectors: Float32, centroids: Float32) -> npt.NDArray[np.int32]:
    """The rank of each list among a vector's nearest: int32[n, nlist], 0 for the nearest."""
    order = np.argsort(-(unit_vectors(vectors) @ centroids.T), axis=1, kind="stable")
    ranks = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.arange(len(centroids), dtype=np.int32)[None], axis=1)
    return ranks


def _probe_block(vectors: Float32, centroids: Float32, nprobe: int) -> npt.NDArray[np.int32]:
    scores = unit_vectors(vectors) @ centroids.T
    # The last bits of a matrix product vary with its shape. Scores that are so close that those
    # bits decide their order are computed again, pair by pair.
    margin = np.float32((vectors.shape[1] + 8) * 2.0**-22)
    min_scores = kth_score_bound(scores, nprobe) - margin
    flat = np.flatnonzero(scores >= min_scores[:, None])
    rows, lists = np.divmod(flat, len(centroids))
    order = rank_order(rows, scores.ravel()[flat], lists.__getitem__)
    rows, lists = rows[order], lists[order]
    sorted_scores = scores[rows, lists].astype(np.float64)
    is_close = np.zeros(len(rows), dtype=bool)
    gaps = sorted_scores[:-1] - sorted_scores[1:]
    is_close[1:] = (rows[1:] == rows[:-1]) & (gaps < margin)
    is_close[:-1] |= is_close[1:]
    if is_close.any():
        sorted_scores[is_close] = _pair_cosines(vectors, centroids, rows[is_close], lists[is_close])
        order = np.lexsort((lists, -sorted_scores, rows))
        rows, lists = rows[order], lists[order]
    return lists[rank_in_row(rows) < nprobe].reshape(len(vectors), nprobe).astype(np.int32)


def _pair_cosines(
    vectors: Float32, centroids: Float32, rows: Int64, lists: Int64
) -> npt.NDArray[np.float64]:
    """Cosines of pairs, each computed in float64 from its own two vectors: float64[pairs]."""
    lengths = np.sqrt(squared_norms(vectors))
    lengths[lengths == 0] = 1
    dots = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _PAIR_BLOCK):
        block = slice(start, start + _PAIR_BLOCK)
        products = vectors[rows[block]].astype(np.float64)
        products *= centroids[lists[block]]
        np.add.reduce(products, axis=1, out=dots[block])
    return dots / lengths[rows]
