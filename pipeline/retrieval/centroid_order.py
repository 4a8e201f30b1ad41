"""An order of the centroids in which near ones stand near each other."""

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit_vectors


def order_centroids(centroids: Float32) -> Int64:
    """Positions of the centroids, cut in two by 2-means, each half in two, and so on: int64[n].

    Args:
        centroids: float32[n, dim], unit length.
    """
    waiting, line = [np.arange(len(centroids))], []
    while waiting:
        some = waiting.pop()
        if len(some) <= 2:
            line.append(some)
            continue
        some = some[np.argsort(_axis(centroids[some]), kind="stable")]
        half = len(some) // 2
        waiting += [some[half:], some[:half]]
    return np.concatenate([np.empty(0, np.int64), *line])


def _axis(points: Float32) -> npt.NDArray[np.float64]:
    """The points' places on the line through the centres of the two halves that 2-means finds."""
    one = points[np.argmin(points @ points.mean(axis=0))]
    other = points[np.argmin(points @ one)]
    for _ in range(5):
        to_one = points @ (one - other) >= 0
        if to_one.all() or not to_one.any():
            break
        one, other = unit_vectors(
            np.stack([points[to_one].mean(axis=0), points[~to_one].mean(axis=0)])
        )
    along: npt.NDArray[np.float64] = (points @ (one - other)).astype(np.float64)
    return along
