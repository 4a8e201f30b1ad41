"""The quantiser: spherical k-means centroids that cut a catalogue into lists."""

import math

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit

# The mean size of a list that the number of lists aims at: assigning an item costs as many
# products as there are lists, so that large catalogues have longer ones.
_MEAN_LIST = (1_000, 4_000)
_POINTS_A_CENTROID = 128
_ITERATIONS = 10
_BLOCK = 2_048


def list_count(items: int) -> int:
    """How many lists a catalogue of this many vectors is cut into."""
    mean = min(max(math.sqrt(items) * 2, _MEAN_LIST[0]), _MEAN_LIST[1])
    return max(1, math.ceil(items / mean))


def sample_size(nlist: int, most: int) -> int:
    """How many vectors the quantiser is trained on."""
    return min(most, nlist * _POINTS_A_CENTROID)


def train(sample: Float32, nlist: int, seed: int) -> Float32:
    """Spherical k-means (Dhillon and Modha 2001, Machine Learning 42:143).

    A centroid that loses all its points is put beside that of the most points.

    Args:
        sample: float32[n, dim]; the same rows in the same order give the same centroids.
        nlist: number of centroids; lowered to n where there are fewer vectors.
        seed: of the first choice of centroids.

    Returns:
        float32[nlist, dim], unit length.
    """
    points = unit(sample)
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
            centroids[empty] = (unit(centroids[[large]]) + np.float32(0.01) * noise)[0]
        centroids = unit(centroids)
    return centroids


def _nearest(points: Float32, centroids: Float32) -> Int64:
    return np.concatenate(
        [
            np.argmax(points[i : i + _BLOCK] @ centroids.T, axis=1)
            for i in range(0, len(points), _BLOCK)
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
    blocks = [
        _probe_block(vectors[i : i + _BLOCK], centroids, min(nprobe, len(centroids)))
        for i in range(0, len(vectors), _BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.empty((0, nprobe), dtype=np.int32)


def places(vectors: Float32, centroids: Float32) -> npt.NDArray[np.int32]:
    """Which of a vector's nearest lists each list is: int32[n, nlist], 0 for the nearest."""
    order = np.argsort(-(unit(vectors) @ centroids.T), axis=1, kind="stable")
    found = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(found, order, np.arange(len(centroids), dtype=np.int32)[None], axis=1)
    return found


def _probe_block(vectors: Float32, centroids: Float32, nprobe: int) -> npt.NDArray[np.int32]:
    scores = unit(vectors) @ centroids.T
    # One more than wanted: the last wanted may be nearly as near as the first unwanted.
    some = min(nprobe + 1, len(centroids))
    near = np.argpartition(scores, len(centroids) - some, axis=1)[:, len(centroids) - some :]
    mine = np.take_along_axis(scores, near, axis=1)
    order = np.lexsort((near, -mine), axis=1)
    near, mine = np.take_along_axis(near, order, axis=1), np.take_along_axis(mine, order, axis=1)
    # The product's last bits vary with its shape: rows where they decide are computed exactly.
    margin = (vectors.shape[1] + 8) * 2.0**-22
    for row in np.flatnonzero((mine[:, :-1] - mine[:, 1:] < margin).any(axis=1)):
        exact = np.add.reduce(
            vectors[row].astype(np.float64) * centroids.astype(np.float64), axis=1
        )
        near[row] = np.lexsort((np.arange(len(exact)), -exact))[:some]
    return near[:, :nprobe].astype(np.int32)
