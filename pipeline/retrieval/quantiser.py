"""The quantiser: spherical k-means centroids that cut a catalogue into lists."""

import math

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.vectors import Float32, pair_cosines, unit

# The mean size of a list that the number of lists aims at.
MEAN_LIST = 2_000
_POINTS_A_CENTROID = 256
_LEAST_POINTS_A_CENTROID = 32
_ITERATIONS = 15
# Scores held at once while probing: 64 MB, whatever the number of lists.
_BLOCK_SCORES = 1 << 24


def list_count(items: int, sample: int) -> int:
    """How many lists a catalogue of this many vectors is cut into.

    Args:
        items: vectors in the catalogue.
        sample: vectors to train on, at most: a centroid needs some tens of them.
    """
    return max(1, min(math.ceil(items / MEAN_LIST), sample // _LEAST_POINTS_A_CENTROID))


def sample_size(nlist: int, most: int) -> int:
    """How many vectors the quantiser is trained on."""
    return min(most, nlist * _POINTS_A_CENTROID)


def train(sample: Float32, nlist: int, seed: int) -> Float32:
    """Spherical k-means.

    Args:
        sample: float32[n, dim]; the same rows in the same order give the same centroids.
        nlist: number of centroids; lowered to n where there are fewer vectors.
        seed: of the first choice of centroids.

    Returns:
        float32[nlist, dim], unit length.
    """
    import faiss

    points = unit(sample)
    kmeans = faiss.Kmeans(
        points.shape[1],
        min(nlist, len(points)),
        niter=_ITERATIONS,
        seed=seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS_A_CENTROID,
    )
    kmeans.train(points)
    return unit(np.asarray(kmeans.centroids, dtype=np.float32))


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
    parts = [
        _probe(vectors[start : start + block], centroids, nprobe)
        for start in range(0, len(vectors), block)
    ]
    return np.concatenate([np.empty((0, nprobe), np.int32), *parts])


def _probe(vectors: Float32, centroids: Float32, nprobe: int) -> npt.NDArray[np.int32]:
    scores = unit(vectors) @ centroids.T
    # The product's last bits vary with its shape: two more than wanted are scored again.
    some = min(nprobe + 2, len(centroids))
    near = np.argpartition(-scores, some - 1, axis=1)[:, :some]
    rows = np.repeat(np.arange(len(vectors)), some)
    exact = pair_cosines(vectors[rows], centroids[near.ravel()]).reshape(near.shape)
    order = np.lexsort((near, -exact), axis=1)[:, :nprobe]
    return np.take_along_axis(near, order, axis=1).astype(np.int32)
