"""Comparing the vectors of the settings with plain fastText and TF-IDF, on the same items."""

from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import measures
from pipeline.evaluation.measures import Estimate, Flags
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import PairPositions
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

METHODS = ("current", "mean", "tfidf")
# The methods that the vectors of the settings are compared with.
BASELINES = METHODS[1:]


@dataclass(frozen=True)
class Figure:
    """One figure of every method, and by how much that of the current settings is higher.

    Attributes:
        values: by method.
        differences: the current figure minus the other, by the other's name; paired intervals.
    """

    values: dict[str, Estimate]
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class LabelFigures:
    """The figures of one column of labels.

    Attributes:
        recall: label recall.
        labelled: the number of items that have a label.
        measured: the number of items whose label another item has; recall is their mean.
        classes: the number of labels that two or more items have.
    """

    recall: Figure
    labelled: int
    measured: int
    classes: int


@dataclass(frozen=True)
class Separation:
    """How well a method's cosine tells matches from other pairs.

    Attributes:
        roc_auc: area under the curve.
        best_f1: the highest F1 of any threshold.
        threshold: the lowest cosine that is then called a match.
    """

    roc_auc: float
    best_f1: float
    threshold: float


@dataclass(frozen=True)
class PairFigures:
    """The figures of a file of pairs.

    Attributes:
        recall: partner recall.
        precision: average precision; None where every pair is a match.
        separation: by method; empty where every pair is a match.
        measured: the number of items that have partners.
        positions: the pairs.
    """

    recall: Figure
    precision: Figure | None
    separation: dict[str, Separation]
    measured: int
    positions: PairPositions


def check_labels(labels: dict[str, Int64]) -> None:
    """Check that labels are shared.

    Raises:
        InputError: no two items have the same label in one of the columns.
    """
    for name, codes in labels.items():
        if np.bincount(codes[codes >= 0], minlength=1).max() < 2:
            raise InputError(
                f"--label {name}: no two of the {len(codes):,} items have the same; give a column "
                "whose values are shared, or raise --items"
            )


def compare_labels(labels: Int64, nearest: dict[str, Int64], k: int) -> LabelFigures:
    """The label recall of every method for one column of labels.

    Args:
        labels: int64[n], -1 for none.
        nearest: by method, each item's k nearest.
        k: the number of neighbours that count.
    """
    shares = {name: measures.label_recall(near, labels, k) for name, near in nearest.items()}
    sizes = np.bincount(labels[labels >= 0])
    shared = sizes[sizes >= 2]
    return LabelFigures(_mean_figure(shares), int(sizes.sum()), int(shared.sum()), len(shared))


def compare_pairs(
    positions: PairPositions, methods: dict[str, Method], nearest: dict[str, Int64], k: int
) -> PairFigures:
    """The partner recall of every method, and how well its cosines tell matches from other pairs.

    Args:
        positions: the pairs.
        methods: the methods by name.
        nearest: by method, each item's k nearest.
        k: the number of neighbours that count.
    """
    match = positions.match
    matches = (positions.left[match], positions.right[match])
    shares = {name: measures.partner_recall(near, *matches, k) for name, near in nearest.items()}
    measured = len(shares["current"])
    if match.all():
        return PairFigures(_mean_figure(shares), None, {}, measured, positions)
    scores = {
        name: method.cosines(positions.left, positions.right) for name, method in methods.items()
    }
    separation = {
        name: Separation(measures.roc_auc(cosines, match), *measures.best_f1(cosines, match))
        for name, cosines in scores.items()
    }
    precision = _precision(scores, match, positions.left)
    return PairFigures(_mean_figure(shares), precision, separation, measured, positions)


def _mean_figure(values: dict[str, Float64]) -> Figure:
    """The means of all methods' values; all arrays are of the same items in the same order."""
    current = values["current"]
    return Figure(
        {name: measures.estimate_mean(shares) for name, shares in values.items()},
        {
            name: measures.estimate_mean(current - shares)
            for name, shares in values.items()
            if name in BASELINES
        },
    )


def _precision(scores: dict[str, Float64], match: Flags, left: Int64) -> Figure:
    figures = {name: measures.average_precision(cosines, match) for name, cosines in scores.items()}
    values = {name: figure(np.ones(len(match))) for name, figure in figures.items()}
    _, owners = np.unique(left, return_inverse=True)
    rows = measures.bootstrap(list(figures.values()), owners)
    samples = dict(zip(figures, rows, strict=True))
    return Figure(
        {name: measures.estimate_from_samples(values[name], row) for name, row in samples.items()},
        {
            name: measures.estimate_from_samples(
                values["current"] - values[name], samples["current"] - row
            )
            for name, row in samples.items()
            if name in BASELINES
        },
    )
