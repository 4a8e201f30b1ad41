"""Training of a quantiser on a sample of vectors, in memory that is bounded by the sample's."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.retrieval import spherical_kmeans
from pipeline.retrieval.centroid_order import order_centroids
from pipeline.retrieval.nearest_centroids import blocks, nearest_centroid, nearest_centroids
from pipeline.retrieval.parents import group_lists
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit_vectors

# float16 in a run, which is half the memory.
Sample = npt.NDArray[np.floating]

# From so many lists on they have parents; below, comparing a vector with all lists is as fast
# (benchmarks/README.md).
PARENTS_FROM = 4_000
# Parents that a vector probes while the lists are trained, when errors hardly matter.
PROBED_IN_TRAINING = 8
# Values of the sample in float32 at a time: 64 MB.
_BLOCK_VALUES = 1 << 24

# How many parents are probed is measured on vectors that the lists were not trained on: so many
# of them, and so many nearest vectors of each.
_QUERIES, _NEIGHBORS = 1_000, 10
# The lists that this share of the neighbours is in are probed; of the neighbours in them no more
# than this share may be lost because a parent is not probed.
_RECALL, _MAX_LOSS = 0.97, 0.002
# At least this share of vectors is in its nearest list.
_NEAREST_LIST = 0.995
# What probing one more parent costs beside the comparisons with its lists, in comparisons.
_PARENT_COST = 60
# Parents pay if they cost at most this share of comparing a vector with all lists.
_MAX_COST = 0.5


def train(sample: Sample, nlist: int, seed: int) -> Quantiser:
    """Train a quantiser by spherical k-means.

    With many lists, each iteration groups the lists under parents, and compares a vector only with
    the lists of the parents that are nearest to it.

    Args:
        sample: float[n, dim]; the same rows in the same order give the same quantiser.
        nlist: number of lists; at most n.
        seed: of the first choice of centroids.
    """
    nlist = min(nlist, len(sample))
    if nlist < PARENTS_FROM:
        points = unit_vectors(sample.astype(np.float32))
        return Quantiser(spherical_kmeans.train(points, nlist, seed))
    trained = train_with_parents(sample, nlist, seed)
    return trained if pays(trained) else Quantiser(trained.centroids)


def train_with_parents(sample: Sample, nlist: int, seed: int) -> Quantiser:
    """Like `train`, with parents whether or not they pay."""
    held_out = min(_QUERIES, (len(sample) - nlist) // 2)
    points, queries = sample[: len(sample) - held_out], sample[len(sample) - held_out :]
    lists = _train_lists(points, nlist, seed)
    parents, order = group_lists(lists, len(lists), seed)
    trained = Quantiser(lists[order], parents)
    if not held_out:  # nothing says how many parents are enough
        return trained
    probed = parents_needed(trained, points, queries)
    return replace(trained, parents=replace(parents, probed=probed))


def pays(quantiser: Quantiser) -> bool:
    """Whether a vector is put into a list faster with the parents than without."""
    if quantiser.parents is None:
        return False
    nlist, count = len(quantiser), len(quantiser.parents.centroids)
    cost = count + quantiser.parents.probed * (nlist / count + _PARENT_COST)
    return cost <= _MAX_COST * nlist


def list_sizes(sample: Sample, quantiser: Quantiser) -> Int64:
    """How many vectors of a sample each list has, about: int64[nlist]."""
    order = np.arange(len(quantiser))
    if quantiser.parents is None and len(quantiser) >= PARENTS_FROM:
        # Parents that don't pay, because so many have to be probed, are good enough to count.
        parents, order = group_lists(quantiser.centroids, PROBED_IN_TRAINING, 0)
        quantiser = Quantiser(quantiser.centroids[order], parents)
    counts = np.zeros(len(quantiser), dtype=np.int64)
    for vectors in _read_blocks(sample):
        counts += np.bincount(_nearest_list(vectors, quantiser), minlength=len(quantiser))
    sizes = np.empty_like(counts)
    sizes[order] = counts
    return sizes


def _nearest_list(vectors: Float32, quantiser: Quantiser) -> Int64:
    if quantiser.parents is None:
        return nearest_centroid(vectors, quantiser.centroids)
    return quantiser.probe(vectors, 1)[:, 0].astype(np.int64)


def _read_blocks(sample: Sample) -> Iterator[Float32]:
    for block in blocks(len(sample), sample.shape[1], _BLOCK_VALUES):
        yield sample[block].astype(np.float32)


def _train_lists(points: Sample, nlist: int, seed: int) -> Float32:
    """The lists' centroids, near ones with near numbers: float32[nlist, dim]."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.choice(len(points), nlist, replace=False))
    lists = unit_vectors(points[first].astype(np.float32))
    for _ in range(spherical_kmeans.ITERATIONS):
        parents, order = group_lists(lists, PROBED_IN_TRAINING, seed)
        sums, counts = _sum_points(points, Quantiser(lists[order], parents))
        lists = unit_vectors(spherical_kmeans.fill_empty(sums, counts, rng))
    return lists[order_centroids(lists)]


def _sum_points(points: Sample, quantiser: Quantiser) -> tuple[Float32, Int64]:
    """The sum of the directions of each list's points, float32[nlist, dim], and their number."""
    sums = np.zeros_like(quantiser.centroids)
    counts = np.zeros(len(quantiser), dtype=np.int64)
    for vectors in _read_blocks(points):
        nearest = _nearest_list(vectors, quantiser)
        order = np.argsort(nearest, kind="stable")
        lists, starts, sizes = np.unique(nearest[order], return_index=True, return_counts=True)
        sums[lists] += np.add.reduceat(unit_vectors(vectors)[order], starts, axis=0)
        counts[lists] += sizes
    return sums, counts


def parents_needed(quantiser: Quantiser, points: Sample, queries: Sample) -> int:
    """How many parents have to be probed so that hardly any neighbour is lost.

    A neighbour of a query is lost if the parent of its list is not among those that the query
    probes, or not among those that it probes itself, so that it gets into another list.

    Args:
        quantiser: its parents are used, whatever number of them it probes.
        points: float[n, dim], the vectors that are searched.
        queries: float[m, dim], vectors that are not among them.
    """
    parents = quantiser.parents
    assert parents is not None  # noqa: S101 - see the argument
    neighbors = _nearest_points(points, queries)
    found, rows = np.unique(neighbors, return_inverse=True)
    vectors, asking = points[found].astype(np.float32), queries.astype(np.float32)
    homes = nearest_centroids(vectors, quantiser.centroids, 1)[:, 0].astype(np.int64)
    parent = parents.of_lists()[homes]
    own_rank = _ranks(vectors, parents.centroids, parent[:, None])[:, 0]
    rows = rows.reshape(neighbors.shape)
    rank = np.maximum(own_rank[rows], _ranks(asking, parents.centroids, parent[rows]))
    list_rank = _ranks(asking, quantiser.centroids, homes[rows])
    is_probed = list_rank <= _quantile(list_rank, _RECALL)
    for_recall = _quantile(np.where(is_probed, rank, 0), 1 - _MAX_LOSS)
    return 1 + max(for_recall, _quantile(own_rank, _NEAREST_LIST))


def probes_needed(quantiser: Quantiser, sample: Sample) -> int:
    """About how many lists have to be probed for a recall of .97, rather too many.

    It is measured in the sample, where neighbours are farther away than in the whole catalogue.

    Args:
        quantiser: it was trained on the sample.
        sample: float[n, dim].
    """
    queries = sample[len(sample) - min(_QUERIES, len(sample) // 2) :].astype(np.float32)
    points = sample[: len(sample) - len(queries)]
    if not len(queries):
        return 1
    neighbors = _nearest_points(points, queries)
    found, rows = np.unique(neighbors, return_inverse=True)
    homes = quantiser.probe(points[found].astype(np.float32), 1)[:, 0].astype(np.int64)
    ranks = _ranks(queries, quantiser.centroids, homes[rows.reshape(neighbors.shape)])
    return 1 + _quantile(ranks, _RECALL)


def _nearest_points(points: Sample, queries: Sample) -> Int64:
    """The points nearest to each query by exact search: int64[m, k]."""
    directions = unit_vectors(queries.astype(np.float32))
    count = min(_NEIGHBORS, len(points))
    scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), count), dtype=np.int64)
    for block in blocks(len(points), max(len(queries), points.shape[1])):
        product = directions @ unit_vectors(points[block].astype(np.float32)).T
        numbers = np.arange(block.start, block.start + product.shape[1])
        scores = np.hstack([scores, product])
        rows = np.hstack([rows, np.broadcast_to(numbers, product.shape)])
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    return rows


def _ranks(vectors: Float32, centroids: Float32, numbers: Int64) -> Int64:
    """How many centroids are nearer to each vector than some are: int64[n, m].

    Args:
        vectors: float32[n, dim].
        centroids: float32[k, dim], unit length.
        numbers: int64[n, m], which centroids.
    """
    ranks = np.empty(numbers.shape, dtype=np.int64)
    for block in blocks(len(vectors), len(centroids)):
        scores = vectors[block] @ centroids.T
        for column, number in enumerate(numbers[block].T):
            score = np.take_along_axis(scores, number[:, None], axis=1)
            ranks[block, column] = (scores > score).sum(axis=1)
    return ranks


def _quantile(values: Int64, share: float) -> int:
    """The least value that is not exceeded by this share of the values."""
    ordered = np.sort(values, axis=None)
    return int(ordered[math.ceil(share * len(ordered)) - 1])
