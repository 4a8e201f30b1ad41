"""What is measured of neighbours and cosines, with 95% intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

Flags = npt.NDArray[np.bool_]

_NORMAL = 1.959964
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval; low and high are None where it can't be told."""

    value: float
    low: float | None = None
    high: float | None = None


def of_mean(values: Float64) -> Estimate:
    """The mean of some items' values, with the interval of the normal approximation.

    Of the differences of two methods' values, item by item, it is the paired interval.

    Args:
        values: float64[n], n from 1 on.
    """
    value = float(values.mean())
    if len(values) == 1:
        return Estimate(value)
    half = _NORMAL * float(values.std(ddof=1)) / len(values) ** 0.5
    return Estimate(value, value - half, value + half)


def label_recall(nearest: Int64, labels: Int64, k: int) -> Float64:
    """For each item whose label is another's too: of same-label items, the share that is near.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        labels: int64[n], -1 for none.
        k: of the best k neighbours, |same label| / min(k, others of the label).

    Returns:
        float64[m], in the items' order.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    asked = np.flatnonzero((labels >= 0) & (sizes[labels] >= 2))
    near = nearest[asked]
    hits = ((labels[near] == labels[asked, None]) & (near >= 0)).sum(axis=1)
    shares: Float64 = hits / np.minimum(k, sizes[labels[asked]] - 1)
    return shares


def partner_recall(nearest: Int64, left: Int64, right: Int64, k: int) -> Float64:
    """For each item that has partners: the share of them that is near.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        left: int64[pairs], an item of each pair that matches.
        right: int64[pairs], the other.
        k: of the best k neighbours, |partners| / min(k, partners).

    Returns:
        float64[m], in the items' order.
    """
    both = np.concatenate([np.stack([left, right], axis=1), np.stack([right, left], axis=1)])
    both = np.unique(both, axis=0)
    found = (nearest[both[:, 0]] == both[:, 1, None]).any(axis=1)
    partners = np.bincount(both[:, 0], minlength=len(nearest))
    hits = np.bincount(both[:, 0], weights=found, minlength=len(nearest))
    asked = partners > 0
    shares: Float64 = hits[asked] / np.minimum(k, partners[asked])
    return shares


def roc_auc(scores: Float64, match: Flags) -> float:
    """The share of matches and others in which the match scores higher; half of it for a tie."""
    _, of_score, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean place, from 1 on, of all that have a score.
    places = np.cumsum(counts) - (counts - 1) / 2
    ones = int(match.sum())
    above = float(places[of_score][match].sum()) - ones * (ones + 1) / 2
    return above / (ones * (len(match) - ones))


def best_f1(scores: Float64, match: Flags) -> tuple[float, float]:
    """The highest F1 that a lowest score for a match can give, and that score.

    Of several such scores the highest is told.
    """
    order, ends = _steps(scores)
    hits = np.cumsum(match[order])[ends]
    f1 = 2 * hits / (ends + 1 + match.sum())
    best = int(np.argmax(f1))
    return float(f1[best]), float(scores[order[ends[best]]])


def average_precision(scores: Float64, match: Flags) -> Callable[[Float64], float]:
    """The average precision, as a function of the weights of the pairs.

    The sum of precision times gain of recall over the distinct scores, highest first, as
    scikit-learn's average_precision_score has it.
    """
    order, ends = _steps(scores)
    matched = match[order]

    def of(weights: Float64) -> float:
        weighed = weights[order]
        hits = np.cumsum(weighed * matched)[ends]
        total = np.cumsum(weighed)[ends]
        if not hits[-1]:
            return 0.0
        precision = np.divide(hits, total, out=np.zeros(len(hits)), where=total > 0)
        return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])

    return of


def _steps(scores: Float64) -> tuple[Int64, Int64]:
    """The order by descending score, and the last place of each distinct score in it."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, ends


def resampled(figures: list[Callable[[Float64], float]], owners: Int64) -> Float64:
    """Figures of bootstrap samples, the same samples for all: float64[figures, samples].

    Pairs of one item depend on each other: items are drawn, each with all of its pairs.

    Args:
        figures: functions of the pairs' weights.
        owners: int64[pairs], the item that each pair is counted as of, from 0 on.
    """
    draw = np.random.default_rng(0)
    count = int(owners.max()) + 1
    found = np.empty((len(figures), _RESAMPLES))
    for sample in range(_RESAMPLES):
        drawn = np.bincount(draw.integers(count, size=count), minlength=count)
        weights = drawn[owners].astype(np.float64)
        found[:, sample] = [figure(weights) for figure in figures]
    return found


def of_samples(value: float, samples: Float64) -> Estimate:
    """A figure with the percentile interval of its bootstrap samples."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
