"""Recall: the share of the true neighbours that a table has, its interval, and nprobe for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.retrieval.ranking import Int64

# Id and score of each neighbour of an item, best first.
Neighbors = Sequence[tuple[str, float]]

# Standard errors of a one-sided confidence of 95%.
CONFIDENCE = 1.645


@dataclass(frozen=True)
class Recall:
    """Recall of a table, measured on a sample of its items.

    Attributes:
        value: the mean over the sample.
        low: lower end of the 95% interval (Wilson's score interval, each item one trial).
        high: upper end of the interval.
        queries: how many items were measured.
        k: neighbours of an item.
    """

    value: float
    low: float
    high: float
    queries: int
    k: int


def measure_recall(
    neighbors: Sequence[Neighbors], true_neighbors: Sequence[Neighbors], k: int
) -> Recall:
    """Measure recall. An item with the score of the last true neighbour counts as true.

    Args:
        neighbors: those of each measured item in the table.
        true_neighbors: those by exact search; items without any are left out.
        k: neighbours of an item.
    """
    shares = [
        _hits(row, true_row) / len(true_row)
        for row, true_row in zip(neighbors, true_neighbors, strict=True)
        if true_row
    ]
    if not shares:
        return Recall(1.0, 0.0, 1.0, 0, k)
    value = float(np.mean(shares))
    low, high = wilson_interval(value, len(shares))
    return Recall(value, low, high, len(shares), k)


def _hits(neighbors: Neighbors, true_neighbors: Neighbors) -> int:
    true_ids, last_score = {item for item, _ in true_neighbors}, true_neighbors[-1][1]
    hits = sum(item in true_ids or score == last_score for item, score in neighbors)
    return min(hits, len(true_neighbors))


def wilson_interval(share: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Args:
        share: successes / trials.
        trials: at least 1.
        z: half width in standard errors; 95% by default.
    """
    square = z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def nprobe_for_recall(
    depths: list[Int64], nlist: int, target: float, errors: float = CONFIDENCE
) -> int:
    """The least nprobe that gives a recall, estimated on a sample of the queries.

    The sample's mean recall minus some standard errors has to reach the target. With the default,
    the recall of all queries is not below the target with a confidence of 95%.

    Args:
        depths: for each query of the sample, the rank of the list that each of its true neighbours
            is in, among the query's nearest lists; 0 is the nearest.
        nlist: number of lists.
        target: the recall to reach, 0 to 1.
        errors: standard errors; 0 for the recall of the sample itself.
    """
    depths = [ranks for ranks in depths if len(ranks)]
    if not depths:
        return 1
    sizes = np.array([len(ranks) for ranks in depths])
    query, flat = np.repeat(np.arange(len(depths)), sizes), np.concatenate(depths)
    margin = errors / math.sqrt(len(depths))
    for nprobe in range(1, nlist):
        shares = np.bincount(query[flat < nprobe], minlength=len(depths)) / sizes
        if shares.mean() - margin * shares.std() >= target:
            return nprobe
    return nlist
