"""An order of the centroids in which near centroids have near numbers."""

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit_vectors


def order_centroids(centroids: Float32) -> Int64:
    """Order the centroids by halving: 2-means cuts them in two, then each half, and so on.

    Args:
        centroids: float32[n, dim], unit length.

    Returns:
        int64[n], a permutation: the centroids' numbers in their new order.
    """
    stack, blocks = [np.arange(len(centroids))], []
    while stack:
        numbers = stack.pop()
        if len(numbers) <= 2:
            blocks.append(numbers)
            continue
        numbers = numbers[np.argsort(_projections(centroids[numbers]), kind="stable")]
        half = len(numbers) // 2
        stack += [numbers[half:], numbers[:half]]
    return np.concatenate([np.empty(0, np.int64), *blocks])


def _projections(points: Float32) -> npt.NDArray[np.float64]:
    """Project points on the line through the two centres that 2-means finds: float64[n]."""
    left = points[np.argmin(points @ points.mean(axis=0))]
    right = points[np.argmin(points @ left)]
    for _ in range(5):
        is_left = points @ (left - right) >= 0
        if is_left.all() or not is_left.any():
            break
        means = [points[is_left].mean(axis=0), points[~is_left].mean(axis=0)]
        left, right = unit_vectors(np.stack(means))
    projections: npt.NDArray[np.float64] = (points @ (left - right)).astype(np.float64)
    return projections
