"""The nearest centroids of vectors, in an order that does not depend on the batch they are in."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64, kth_score_bound, rank_in_row, rank_order
from pipeline.retrieval.vectors import (
    Float32,
    Float64,
    error_bound,
    squared_norms,
    unit_vectors,
)

Int32 = npt.NDArray[np.int32]
# From rows and centroids, int64[pairs] each, to their cosines: float64[pairs].
ExactScores = Callable[[Int64, Int64], Float64]
# From rows and columns of a matrix of scores, int64[cells] each, to centroids: int64[cells].
CentroidOfCell = Callable[[Int64, Int64], Int64]

# Scores computed at a time: 16 MB. With many centroids more, for enough vectors: a product with few
# reads all centroids for little work (75,000 lists: 40 MB).
_BLOCK_SCORES, _BLOCK_ROWS = 1 << 22, 128
_PAIR_BLOCK = 256


def blocks(rows: int, scores_per_row: int, max_scores: int = 0) -> Iterator[slice]:
    """Cut rows into blocks.

    Args:
        rows: how many there are.
        scores_per_row: how many scores are computed for each.
        max_scores: of a block, unless one row has more; 0: as is good for products with centroids.
    """
    step = max(1, max_scores // max(1, scores_per_row))
    if not max_scores:
        step = max(_BLOCK_ROWS, _BLOCK_SCORES // max(1, scores_per_row))
    for start in range(0, rows, step):
        yield slice(start, start + step)


def nearest_centroid(points: Float32, centroids: Float32) -> Int64:
    """The nearest centroid of each point: int64[n].

    For k-means: between scores that differ in their last bits only, the batch decides.
    """
    parts = [
        np.argmax(points[block] @ centroids.T, axis=1)
        for block in blocks(len(points), len(centroids))
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def nearest_centroids(vectors: Float32, centroids: Float32, count: int) -> Int32:
    """The centroids nearest to each vector, nearest first, ties by the centroid's number.

    Args:
        vectors: float32[n, dim].
        centroids: float32[m, dim], unit length.
        count: how many; at most m.

    Returns:
        int32[n, min(count, m)].
    """
    count = min(count, len(centroids))

    def nearest(block: Float32) -> Int32:
        scores = unit_vectors(block) @ centroids.T
        return best_centroids(
            scores,
            count,
            lambda _, columns: columns,
            lambda rows, numbers: pair_cosines(block, centroids, rows, numbers),
            error_bound(block.shape[1]),
        )

    parts = [nearest(vectors[block]) for block in blocks(len(vectors), len(centroids))]
    return np.concatenate([np.empty((0, count), np.int32), *parts])


def best_centroids(
    scores: Float32,
    count: int,
    centroid_of_cell: CentroidOfCell,
    exact_scores: ExactScores,
    margin: np.float32,
) -> Int32:
    """The centroids with the best scores of each row, best first, ties by the centroid's number.

    The last bits of a matrix product vary with its shape. Scores that are so close that those bits
    decide their order are computed again, pair by pair.

    Args:
        scores: float32[n, m], with at least `count` finite ones in each row; the others are minus
            infinity.
        count: how many.
        centroid_of_cell: which centroid each score is of.
        exact_scores: computes scores again.
        margin: closer scores are computed again.

    Returns:
        int32[n, count].
    """
    min_scores = kth_score_bound(scores, count) - margin
    lowest = np.finfo(np.float32).min
    cells = np.flatnonzero(scores >= np.maximum(min_scores, lowest)[:, None])
    rows, columns = np.divmod(cells, scores.shape[1])
    centroids, cell_scores = centroid_of_cell(rows, columns), scores.ravel()[cells]
    order = rank_order(rows, cell_scores, centroids.__getitem__)
    rows, centroids = rows[order], centroids[order]
    sorted_scores = cell_scores[order].astype(np.float64)
    is_close = np.zeros(len(rows), dtype=bool)
    gaps = sorted_scores[:-1] - sorted_scores[1:]
    is_close[1:] = (rows[1:] == rows[:-1]) & (gaps < margin)
    is_close[:-1] |= is_close[1:]
    if is_close.any():
        sorted_scores[is_close] = exact_scores(rows[is_close], centroids[is_close])
        order = np.lexsort((centroids, -sorted_scores, rows))
        rows, centroids = rows[order], centroids[order]
    best = centroids[rank_in_row(rows) < count].reshape(len(scores), count)
    return best.astype(np.int32)


def pair_cosines(vectors: Float32, centroids: Float32, rows: Int64, numbers: Int64) -> Float64:
    """Cosines of pairs, each computed in float64 from its own two vectors: float64[pairs].

    Args:
        vectors: float32[n, dim].
        centroids: float32[m, dim], unit length.
        rows: int64[pairs], the vector of each pair.
        numbers: int64[pairs], the centroid of each pair.
    """
    lengths = np.sqrt(squared_norms(vectors))
    lengths[lengths == 0] = 1
    dots = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _PAIR_BLOCK):
        block = slice(start, start + _PAIR_BLOCK)
        products = vectors[rows[block]].astype(np.float64)
        products *= centroids[numbers[block]]
        np.add.reduce(products, axis=1, out=dots[block])
    return dots / lengths[rows]
