"""Vectors as points of a plane: those that are near each other stay so."""

import numpy as np

from pipeline.retrieval.vectors import Float32

_SEED = 0
_PERPLEXITY = 30.0
# Enough for a map to look at; twice as many take twice as long and move little.
_ITERATIONS = 500
# Of fewer the principal components say as much.
_FEW = 10


def project(vectors: Float32) -> Float32:
    """A map of vectors by t-SNE (van der Maaten and Hinton 2008), on one thread, seeded.

    Args:
        vectors: float32[n, dim]; their lengths do not count.

    Returns:
        float32[n, 2] between -1 and 1; the principal components where there are few vectors.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
    centred: Float32 = unit - unit.mean(axis=0) if len(unit) else unit
    # Where all are one point t-SNE divides by nothing.
    if len(unit) < _FEW or not np.abs(centred).max() > 1e-6:
        return _scaled(_components(centred))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # For vectors of length 1 the order by distance is that by cosine.
    how = TSNE(
        init="pca" if unit.shape[1] > 1 else "random",
        perplexity=min(_PERPLEXITY, (len(unit) - 1) / 3),
        max_iter=_ITERATIONS,
        random_state=_SEED,
    )
    with threadpool_limits(1):
        return _scaled(how.fit_transform(unit))


def _components(centred: Float32) -> Float32:
    plane = np.zeros((len(centred), 2), dtype=np.float32)
    if centred.size:
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        found = (left * values)[:, :2]
        plane[:, : found.shape[1]] = found
    return plane


def _scaled(points: Float32) -> Float32:
    if not len(points):
        return points.astype(np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-9)
    return np.asarray((points - (low + high) / 2) / half, dtype=np.float32)
