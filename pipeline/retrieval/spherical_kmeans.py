"""Spherical k-means (Dhillon and Modha 2001, Machine Learning 42:143)."""

import numpy as np

from pipeline.retrieval.centroid_order import order_centroids
from pipeline.retrieval.nearest_centroids import nearest_centroid
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit_vectors

# More iterations change no recall that can be measured (benchmarks/README.md).
ITERATIONS = 6


def train(points: Float32, count: int, seed: int) -> Float32:
    """Train centroids, numbered so that near ones have near numbers (centroid_order.py).

    Args:
        points: float32[n, dim], unit length; the same rows in the same order give the same
            centroids.
        count: number of centroids; at most n.
        seed: of the first choice of centroids.

    Returns:
        float32[count, dim], unit length.
    """
    rng = np.random.default_rng(seed)
    centroids = points[np.sort(rng.choice(len(points), count, replace=False))]
    for _ in range(ITERATIONS):
        nearest = nearest_centroid(points, centroids)
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=count)
        filled = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[filled]
        # The sum of the points has the direction of their mean; its length does not matter.
        centroids[filled] = np.add.reduceat(points[order], starts, axis=0)
        centroids = unit_vectors(fill_empty(centroids, counts, rng))
    return centroids[order_centroids(centroids)]


def fill_empty(sums: Float32, counts: Int64, rng: np.random.Generator) -> Float32:
    """Put centroids that have lost all their points beside those with the most points.

    Args:
        sums: float32[k, dim], the sums of the points; changed in place.
        counts: int64[k], how many points each centroid has.
        rng: makes the noise that tells the two apart.
    """
    largest_first = np.argsort(-counts, kind="stable")
    for empty, large in zip(np.flatnonzero(counts == 0), largest_first, strict=False):
        noise = rng.standard_normal((1, sums.shape[1]), dtype=np.float32)
        sums[empty] = (unit_vectors(sums[[large]]) + np.float32(0.01) * noise)[0]
    return sums
