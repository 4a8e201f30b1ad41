"""Measures of neighbours and of cosines, with 95% intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

Flags = npt.NDArray[np.bool_]

# The 97.5% quantile of the normal distribution.
_NORMAL_QUANTILE = 1.959964
_BOOTSTRAP_SAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval; low and high are None where one value gives no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def estimate_mean(values: Float64) -> Estimate:
    """The mean of some items' values, with the interval of the normal approximation.

    For the differences of two methods' values, item by item, this is the paired interval.

    Args:
        values: float64[n], n >= 1.
    """
    value = float(values.mean())
    if len(values) == 1:
        return Estimate(value)
    half = _NORMAL_QUANTILE * float(values.std(ddof=1)) / len(values) ** 0.5
    return Estimate(value, value - half, value + half)


def label_recall(nearest: Int64, labels: Int64, k: int) -> Float64:
    """The share of an item's neighbours that have its label, for items whose label is shared.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        labels: int64[n], -1 for none.
        k: of the best k neighbours, |same label| / min(k, others of the label).

    Returns:
        float64[m], in the order of the items.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    items = np.flatnonzero((labels >= 0) & (sizes[labels] >= 2))
    neighbors = nearest[items]
    hits = ((labels[neighbors] == labels[items, None]) & (neighbors >= 0)).sum(axis=1)
    shares: Float64 = hits / np.minimum(k, sizes[labels[items]] - 1)
    return shares


def partner_recall(nearest: Int64, left: Int64, right: Int64, k: int) -> Float64:
    """The share of an item's partners among its neighbours, for items that have partners.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        left: int64[pairs], one item of each matching pair.
        right: int64[pairs], the other.
        k: of the best k neighbours, |partners| / min(k, partners).

    Returns:
        float64[m], in the order of the items.
    """
    pairs = np.concatenate([np.stack([left, right], axis=1), np.stack([right, left], axis=1)])
    pairs = np.unique(pairs, axis=0)
    is_hit = (nearest[pairs[:, 0]] == pairs[:, 1, None]).any(axis=1)
    partners = np.bincount(pairs[:, 0], minlength=len(nearest))
    hits = np.bincount(pairs[:, 0], weights=is_hit, minlength=len(nearest))
    items = partners > 0
    shares: Float64 = hits[items] / np.minimum(k, partners[items])
    return shares


def roc_auc(scores: Float64, match: Flags) -> float:
    """The area under the ROC curve; there are matches and other pairs."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(match, scores))


def best_f1(scores: Float64, match: Flags) -> tuple[float, float]:
    """The highest F1 of all thresholds, and the highest threshold that reaches it.

    A pair whose score is the threshold or more counts as a match.
    """
    from sklearn.metrics import confusion_matrix_at_thresholds

    # Thresholds descend.
    _, false_matches, missed, hits, thresholds = confusion_matrix_at_thresholds(match, scores)
    f1 = 2 * hits / (2 * hits + false_matches + missed)
    best = int(np.argmax(f1))
    return float(f1[best]), float(thresholds[best])


def average_precision(scores: Float64, match: Flags) -> Callable[[Float64], float]:
    """The average precision, as a function of the weights of the pairs.

    It is the sum of precision times gain of recall over the distinct scores, highest first, as
    scikit-learn's average_precision_score defines it. That function sorts the scores at every call:
    for the weights of a bootstrap it takes more than ten times as long.
    """
    order = np.argsort(-scores, kind="stable")
    # The last position of each distinct score in that order.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered_match = match[order]

    def figure(weights: Float64) -> float:
        ordered_weights = weights[order]
        hits = np.cumsum(ordered_weights * ordered_match)[ends]
        total = np.cumsum(ordered_weights)[ends]
        if not hits[-1]:
            return 0.0
        precision = np.divide(hits, total, out=np.zeros(len(hits)), where=total > 0)
        return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])

    return figure


def bootstrap(figures: list[Callable[[Float64], float]], owners: Int64) -> Float64:
    """Figures of bootstrap samples, the same samples for all figures.

    The pairs of one item depend on each other, so items are drawn, each with all of its pairs.

    Args:
        figures: functions of the pairs' weights.
        owners: int64[pairs], the item that each pair belongs to, numbered from 0.

    Returns:
        float64[figures, samples].
    """
    rng = np.random.default_rng(0)
    items = int(owners.max()) + 1
    samples = np.empty((len(figures), _BOOTSTRAP_SAMPLES))
    for sample in range(_BOOTSTRAP_SAMPLES):
        draws = np.bincount(rng.integers(items, size=items), minlength=items)
        weights = draws[owners].astype(np.float64)
        samples[:, sample] = [figure(weights) for figure in figures]
    return samples


def estimate_from_samples(value: float, samples: Float64) -> Estimate:
    """A figure with the percentile interval of its bootstrap samples."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
