"""Measures of neighbours, item by item, and of cosines."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

Flags = npt.NDArray[np.bool_]

# Comparisons of two items that are in memory at a time.
_BLOCK_PAIRS = 1 << 25


@dataclass(frozen=True)
class Hits:
    """Which neighbours are right, for the items of which any other item is.

    Attributes:
        items: int64[m], positions of these items, ascending.
        right: bool[m, k], whether each neighbour is right, the nearest first.
        others: int64[m], how many other items are right, at least 1.
    """

    items: Int64
    right: Flags
    others: Int64


def label_hits(nearest: Int64, labels: Int64) -> Hits:
    """Neighbours are right that have the item's label.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        labels: int64[n], -1 for none.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    items = np.flatnonzero((labels >= 0) & (sizes[labels] >= 2))
    neighbors = nearest[items]
    right = (labels[neighbors] == labels[items, None]) & (neighbors >= 0)
    return Hits(items, right, sizes[labels[items]] - 1)


def partner_hits(nearest: Int64, left: Int64, right: Int64) -> Hits:
    """Neighbours are right that are the item's partners in pairs that match.

    Args:
        nearest: int64[n, k], positions of items, -1 for none.
        left: int64[pairs], one item of each matching pair.
        right: int64[pairs], the other.
    """
    pairs = np.concatenate([np.stack([left, right], axis=1), np.stack([right, left], axis=1)])
    pairs = np.unique(pairs, axis=0)
    partners = np.bincount(pairs[:, 0], minlength=len(nearest))
    is_right = np.zeros(nearest.shape, dtype=bool)
    found, places = np.nonzero(nearest[pairs[:, 0]] == pairs[:, 1, None])
    is_right[pairs[found, 0], places] = True
    items = np.flatnonzero(partners)
    return Hits(items, is_right[items], partners[items])


def recall(hits: Hits) -> Float64:
    """Of the k nearest, right ones / min(k, others that are right): float64[m]."""
    k = hits.right.shape[1]
    shares: Float64 = hits.right.sum(axis=1) / np.minimum(k, hits.others)
    return shares


def reciprocal_rank(hits: Hits) -> Float64:
    """1 / rank of the first right neighbour, 0 if none of the k is right: float64[m]."""
    ranks = np.argmax(hits.right, axis=1) + 1
    return np.where(hits.right.any(axis=1), 1 / ranks, 0.0)


def ndcg(hits: Hits) -> Float64:
    """The nDCG of the k nearest, a right neighbour worth 1: float64[m]."""
    ideal = np.arange(hits.right.shape[1]) < hits.others[:, None]
    return discounted(hits.right) / discounted(ideal)


def discounted(gains: npt.NDArray[np.generic]) -> Float64:
    """Discounted cumulative gain: a neighbour's gain divided by log2(its rank + 1), added up.

    As Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), have it
    for base 2, in the form of scikit-learn's dcg_score, where the second rank is discounted too.

    Args:
        gains: [m, k], the nearest first.

    Returns:
        float64[m].
    """
    discounts = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    return gains.astype(np.float64) @ discounts


def shared_labels_ndcg(nearest: dict[str, Int64], labels: list[Int64]) -> dict[str, Float64]:
    """The nDCG where a neighbour is worth the number of labels that it shares with the item.

    Args:
        nearest: by method int64[n, k], positions of items, -1 for none.
        labels: for each column of labels int64[n], -1 for none.

    Returns:
        by method float64[n], NaN for an item that shares no label with any other.
    """
    total, k = next(iter(nearest.values())).shape
    values = {method: np.full(total, np.nan) for method in nearest}
    # No two items without a label have the same number.
    columns = [
        np.where(codes < 0, -1 - np.arange(total), codes).astype(np.int32) for codes in labels
    ]
    size = max(1, _BLOCK_PAIRS // total)
    for start in range(0, total, size):
        rows = np.arange(start, min(start + size, total))
        shared = np.zeros((len(rows), total), dtype=np.int8)
        for codes in columns:
            shared += codes[rows, None] == codes
        shared[np.arange(len(rows)), rows] = 0
        ideal = np.zeros((len(rows), k), dtype=np.int64)
        for gain in range(1, len(labels) + 1):
            ideal += np.arange(k) < np.count_nonzero(shared >= gain, axis=1)[:, None]
        highest = discounted(ideal)
        for method, near in nearest.items():
            own = near[rows]
            gains = discounted(np.where(own >= 0, np.take_along_axis(shared, own, axis=1), 0))
            np.divide(gains, highest, out=values[method][rows[0] : rows[-1] + 1], where=highest > 0)
    return values


MEASURES: dict[str, Callable[[Hits], Float64]] = {
    "recall": recall,
    "ndcg": ndcg,
    "reciprocal_rank": reciprocal_rank,
}


def of_all_items(hits: Hits, total: int) -> dict[str, Float64]:
    """Each measure of each item: float64[total], NaN for items that are not measured."""
    values = {}
    for name, measure in MEASURES.items():
        values[name] = np.full(total, np.nan)
        values[name][hits.items] = measure(hits)
    return values


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
