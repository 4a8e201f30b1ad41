"""The current settings' vectors, plain fastText and TF-IDF, measured on the same items."""

from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import measures
from pipeline.evaluation.measures import Estimate, Flags
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import Places
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

METHODS = ("current", "mean", "tfidf")
# What the current settings are compared with.
OTHERS = METHODS[1:]


@dataclass(frozen=True)
class Figure:
    """One figure of each method that there is, and by how much the current settings' is higher.

    Attributes:
        values: by method.
        differences: current less the other's, by the other's name; the intervals are paired.
    """

    values: dict[str, Estimate]
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class OfLabel:
    """What a label tells.

    Attributes:
        recall: label recall.
        labelled: items that have a label.
        measured: items whose label another one has: those that recall is the mean of.
        classes: labels that two items or more have.
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
class OfPairs:
    """What pairs tell.

    Attributes:
        recall: of the partners of each item that has some.
        precision: average precision; None where every pair is a match.
        separation: by method; empty where every pair is a match.
        measured: items that have partners.
        places: the pairs.
    """

    recall: Figure
    precision: Figure | None
    separation: dict[str, Separation]
    measured: int
    places: Places


def check_labels(labels: dict[str, Int64]) -> None:
    """See that labels tell something.

    Raises:
        InputError: of one of the columns no two items have the same.
    """
    for name, codes in labels.items():
        if np.bincount(codes[codes >= 0], minlength=1).max() < 2:
            raise InputError(
                f"--label {name}: no two of the {len(codes):,} items have the same; give a column "
                "whose values are shared, or raise --items"
            )


def by_label(labels: Int64, nearest: dict[str, Int64], k: int) -> OfLabel:
    """The label recall by one column of labels.

    Args:
        labels: int64[n], -1 for none.
        nearest: for each method that there is, each item's k nearest.
        k: neighbours that count.
    """
    shares = {name: measures.label_recall(near, labels, k) for name, near in nearest.items()}
    sizes = np.bincount(labels[labels >= 0])
    several = sizes[sizes >= 2]
    return OfLabel(_means(shares), int(sizes.sum()), int(several.sum()), len(several))


def by_pairs(
    places: Places, methods: dict[str, Method], nearest: dict[str, Int64], k: int
) -> OfPairs:
    """How near matches are, and how well cosine tells them from the other pairs.

    Args:
        places: the pairs.
        methods: those that there are.
        nearest: for each, each item's k nearest.
        k: neighbours that count.
    """
    match = places.match
    ones = (places.left[match], places.right[match])
    shares = {name: measures.partner_recall(near, *ones, k) for name, near in nearest.items()}
    measured = len(shares["current"])
    if match.all():
        return OfPairs(_means(shares), None, {}, measured, places)
    scores = {name: of.cosines(places.left, places.right) for name, of in methods.items()}
    separation = {
        name: Separation(measures.roc_auc(of, match), *measures.best_f1(of, match))
        for name, of in scores.items()
    }
    precision = _precision(scores, match, places.left)
    return OfPairs(_means(shares), precision, separation, measured, places)


def _means(values: dict[str, Float64]) -> Figure:
    """The mean of each method's values, item by item the same items."""
    current = values["current"]
    return Figure(
        {name: measures.of_mean(mine) for name, mine in values.items()},
        {name: measures.of_mean(current - mine) for name, mine in values.items() if name in OTHERS},
    )


def _precision(scores: dict[str, Float64], match: Flags, left: Int64) -> Figure:
    figures = {name: measures.average_precision(of, match) for name, of in scores.items()}
    values = {name: figure(np.ones(len(match))) for name, figure in figures.items()}
    _, owners = np.unique(left, return_inverse=True)
    drawn = measures.resampled(list(figures.values()), owners)
    samples = dict(zip(figures, drawn, strict=True))
    return Figure(
        {name: measures.of_samples(values[name], of) for name, of in samples.items()},
        {
            name: measures.of_samples(values["current"] - values[name], samples["current"] - of)
            for name, of in samples.items()
            if name in OTHERS
        },
    )
