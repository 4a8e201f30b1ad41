"""Figures of several methods on the same items: means of items' values, with intervals."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.evaluation import intervals, measures
from pipeline.evaluation.intervals import Difference, Estimate
from pipeline.retrieval.vectors import Float64

CURRENT = "current"


class Subject(NamedTuple):
    """What figures are of: a column of labels, the mean of them, pairs, or answers by hand."""

    kind: str
    name: str


def label(column: str) -> Subject:
    """The subject of a column of labels."""
    return Subject("label", column)


ALL_LABELS = Subject("labels", "all labels")
PAIRS = Subject("pairs", "pairs")
ANSWERS = Subject("answers", "answers")


@dataclass(frozen=True)
class Figure:
    """One figure of every method, and by how much that of the current settings is higher.

    Attributes:
        values: by method.
        differences: the current figure minus the other, by the other's name; paired intervals.
        measured: the number of items that it is of.
    """

    values: dict[str, Estimate]
    differences: dict[str, Difference]
    measured: int


# By measure.
Figures = dict[str, Figure]
# By method, a value of each item: float64[n], NaN for an item that is not measured. By measure.
ItemValues = dict[str, dict[str, Float64]]


def compare(values: dict[Subject, ItemValues]) -> dict[Subject, Figures]:
    """The means of items' values, and of the labels' means; what no item has is left out."""
    table = _Columns()
    for subject, by_measure in values.items():
        for measure, by_method in by_measure.items():
            if not np.isnan(by_method[CURRENT]).all():
                table.add(subject, measure, by_method)
    columns = [subject for subject in values if subject.kind == "label"]
    if len(columns) > 1:
        for measure in measures.MEASURES:
            table.add_mean(ALL_LABELS, measure, columns)
    return table.figures()


class _Columns:
    """Columns of items' values, which are resampled together, and the figures made of them."""

    def __init__(self) -> None:
        self._columns: list[Float64] = []
        # By subject, measure, method, and whether it is the difference to that method: the columns
        # whose mean the figure is.
        self._places: dict[tuple[Subject, str, str, bool], list[int]] = {}

    def add(self, subject: Subject, measure: str, by_method: dict[str, Float64]) -> None:
        """Add the values of all methods, and the differences of the current ones to others.

        A method that has a value of no item is left out, and so is its difference.
        """
        for method, values in by_method.items():
            self._place(subject, measure, method, values, is_difference=False)
            if method != CURRENT:
                rest = by_method[CURRENT] - values
                self._place(subject, measure, method, rest, is_difference=True)

    def _place(
        self, subject: Subject, measure: str, method: str, values: Float64, *, is_difference: bool
    ) -> None:
        if np.isnan(values).all():
            return
        self._places[subject, measure, method, is_difference] = [len(self._columns)]
        self._columns.append(values)

    def add_mean(self, subject: Subject, measure: str, parts: list[Subject]) -> None:
        """Add the mean of several subjects' figures, if all of them are there."""
        of_first = [key for key in self._places if key[:2] == (parts[0], measure)]
        for _, _, method, is_difference in of_first:
            keys = [(part, measure, method, is_difference) for part in parts]
            if all(key in self._places for key in keys):
                places = [self._places[key][0] for key in keys]
                self._places[subject, measure, method, is_difference] = places

    def figures(self) -> dict[Subject, Figures]:
        """Every figure with its interval."""
        result: dict[Subject, Figures] = {}
        if not self._columns:
            return result
        table = np.stack(self._columns, axis=1)
        means, samples = intervals.resampled_means(table)
        for (subject, measure, method, is_difference), places in self._places.items():
            there = ~np.isnan(table[:, places])
            measured = int(there.any(axis=1).sum())
            value = float(means[places].mean())
            estimate = intervals.from_samples(value, samples[places].mean(axis=0), measured)
            figure = result.setdefault(subject, {}).setdefault(measure, Figure({}, {}, measured))
            if not is_difference:
                figure.values[method] = estimate
                continue
            # Of an item with several labels the sum: its sign is that of its mean.
            sums = np.where(there, table[:, places], 0.0).sum(axis=1)
            signs = intervals.sign_test(sums[there.any(axis=1)])
            interval = estimate.value, estimate.low, estimate.high
            figure.differences[method] = Difference(*interval, *signs)
        return result
