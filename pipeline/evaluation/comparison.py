"""What neighbours come to by labels and by pairs, and how well cosines tell pairs apart."""

from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import intervals, measures
from pipeline.evaluation.figures import (
    ALL_LABELS,
    CURRENT,
    PAIRS,
    Figure,
    ItemValues,
    Subject,
    label,
)
from pipeline.evaluation.intervals import Difference
from pipeline.evaluation.measures import Flags, Hits
from pipeline.evaluation.methods import Method
from pipeline.evaluation.pairs_file import PairPositions
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

# What the vectors of the settings are compared with if no other config is given.
BASELINES = ("mean", "tfidf")
# The vectors of another config.
AGAINST = "against"
# A measure of the mean of the labels.
SHARED_NDCG = "shared_labels_ndcg"


@dataclass(frozen=True)
class LabelSizes:
    """How many items have a label.

    Attributes:
        labelled: the number of items that have a label.
        measured: the number of items whose label another item has.
        classes: the number of labels that two or more items have.
    """

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
class PairCosines:
    """How the cosines of pairs compare; both are empty where every pair is a match.

    Attributes:
        precision: average precision.
        separation: by method.
    """

    precision: Figure | None
    separation: dict[str, Separation]


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


def label_sizes(labels: Int64) -> LabelSizes:
    """Count the items of labels: int64[n], -1 for none."""
    sizes = np.bincount(labels[labels >= 0])
    shared = sizes[sizes >= 2]
    return LabelSizes(int(sizes.sum()), int(shared.sum()), len(shared))


def item_values(
    labels: dict[str, Int64], pairs: PairPositions | None, nearest: dict[str, Int64]
) -> dict[Subject, ItemValues]:
    """What every item's neighbours come to, by labels and by pairs.

    Args:
        labels: by column of labels int64[n], -1 for none.
        pairs: the pairs.
        nearest: by method, each item's k nearest.
    """
    values: dict[Subject, ItemValues] = {}
    for name, codes in labels.items():
        hits = {method: measures.label_hits(near, codes) for method, near in nearest.items()}
        values[label(name)] = _of_hits(hits, len(codes))
    if len(labels) > 1:
        columns = list(labels.values())
        values[ALL_LABELS] = {SHARED_NDCG: measures.shared_labels_ndcg(nearest, columns)}
    if pairs is not None:
        matches = pairs.left[pairs.match], pairs.right[pairs.match]
        hits = {name: measures.partner_hits(near, *matches) for name, near in nearest.items()}
        values[PAIRS] = _of_hits(hits, len(nearest[CURRENT]))
    return values


def _of_hits(hits: dict[str, Hits], total: int) -> ItemValues:
    of_methods = {method: measures.of_all_items(one, total) for method, one in hits.items()}
    return {
        measure: {method: values[measure] for method, values in of_methods.items()}
        for measure in measures.MEASURES
    }


def compare_cosines(positions: PairPositions, methods: dict[str, Method]) -> PairCosines:
    """How well every method's cosines tell matches from other pairs.

    Args:
        positions: the pairs.
        methods: the methods by name.
    """
    match = positions.match
    if match.all():
        return PairCosines(None, {})
    scores = {
        name: method.cosines(positions.left, positions.right) for name, method in methods.items()
    }
    separation = {
        name: Separation(measures.roc_auc(cosines, match), *measures.best_f1(cosines, match))
        for name, cosines in scores.items()
    }
    return PairCosines(_precision(scores, match, positions), separation)


def _precision(scores: dict[str, Float64], match: Flags, positions: PairPositions) -> Figure:
    figures = {name: measures.average_precision(cosines, match) for name, cosines in scores.items()}
    values = {name: figure(np.ones(len(match))) for name, figure in figures.items()}
    _, owners = np.unique(positions.left, return_inverse=True)
    rows = intervals.bootstrap(list(figures.values()), owners)
    samples = dict(zip(figures, rows, strict=True))
    drawn = int(owners.max()) + 1
    estimates = {
        name: intervals.from_samples(values[name], row, drawn) for name, row in samples.items()
    }
    differences = {}
    for name, row in samples.items():
        if name != CURRENT:
            rest = values[CURRENT] - values[name]
            one = intervals.from_samples(rest, samples[CURRENT] - row, drawn)
            differences[name] = Difference(one.value, one.low, one.high)
    items = len(np.unique(np.concatenate([positions.left, positions.right])))
    return Figure(estimates, differences, items)
