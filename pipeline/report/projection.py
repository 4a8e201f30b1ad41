"""Projection of vectors on a plane: vectors that are near each other stay so."""

import numpy as np

from pipeline.retrieval.vectors import Float32

_SEED = 0
_PERPLEXITY = 30.0
# Enough for a map to look at: with 1,000 the trustworthiness of a map (2,000 items of data_samples,
# 10 neighbours each) is .9965 instead of .9961.
_ITERATIONS = 350
# For fewer vectors the principal components are as good.
_MIN_VECTORS = 10


def load() -> None:
    """Load what `project` needs, which takes a second, before it is needed."""
    import sklearn.manifold  # noqa: F401


def project(vectors: Float32) -> Float32:
    """Project vectors by t-SNE (van der Maaten and Hinton 2008), on one thread, seeded.

    Few vectors are projected on their principal components.

    Args:
        vectors: float32[n, dim]; their lengths do not count.

    Returns:
        float32[n, 2] between -1 and 1.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
    centred: Float32 = unit - unit.mean(axis=0) if len(unit) else unit
    # If all points are the same, t-SNE divides by zero.
    if len(unit) < _MIN_VECTORS or not np.abs(centred).max() > 1e-6:
        return _scale(_principal_components(centred))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # For vectors of length 1 the order by distance is that by cosine.
    tsne = TSNE(
        init="pca" if unit.shape[1] > 1 else "random",
        perplexity=min(_PERPLEXITY, (len(unit) - 1) / 3),
        max_iter=_ITERATIONS,
        random_state=_SEED,
    )
    with threadpool_limits(1):
        return _scale(tsne.fit_transform(unit))


def _principal_components(centred: Float32) -> Float32:
    points = np.zeros((len(centred), 2), dtype=np.float32)
    if centred.size:
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        components = (left * values)[:, :2]
        points[:, : components.shape[1]] = components
    return points


def _scale(points: Float32) -> Float32:
    """Points scaled to -1 to 1 in each direction."""
    if not len(points):
        return points.astype(np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-9)
    return np.asarray((points - (low + high) / 2) / half, dtype=np.float32)
