"""The result of an evaluation: as JSON for programs, as tables for people."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.comparison import (
    BASELINES,
    METHODS,
    Figure,
    LabelFigures,
    PairFigures,
    Separation,
)
from pipeline.evaluation.measures import Estimate
from pipeline.terminal.output import table

_NONE = "-"


@dataclass(frozen=True)
class Evaluation:
    """The result of `nitamono evaluate`.

    Attributes:
        k: the number of neighbours that count.
        items: the number of items in the sample.
        total: the number of items in the catalogue.
        run_id: the run that computed or reused the embeddings.
        embeddings: the embeddings' version.
        labels: the figures by column of labels.
        pairs: None without a file of pairs.
        missing: why a method was not measured, by the method's name.
    """

    k: int
    items: int
    total: int
    run_id: str
    embeddings: str
    labels: dict[str, LabelFigures]
    pairs: PairFigures | None
    missing: dict[str, str]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The result for programs; the figures of a method that was not measured are null."""
    labels = {name: _label_json(label) for name, label in evaluation.labels.items()}
    first = next(iter(labels), None)
    return {
        "k": evaluation.k,
        "items": evaluation.items,
        "catalogue_items": evaluation.total,
        "sample": evaluation.items < evaluation.total,
        "run_id": evaluation.run_id,
        "embeddings": evaluation.embeddings,
        "missing": evaluation.missing,
        **({"label": first, **labels[first], "labels": labels} if first is not None else {}),
        **({"pairs": _pairs_json(evaluation.pairs)} if evaluation.pairs else {}),
    }


def _label_json(label: LabelFigures) -> dict[str, Any]:
    return {
        "recall": _values(label.recall),
        "intervals": _intervals(label.recall),
        "differences": _differences(label.recall),
        "labelled_items": label.labelled,
        "measured_items": label.measured,
        "classes": label.classes,
    }


def _pairs_json(pairs: PairFigures) -> dict[str, Any]:
    figures = {"recall": pairs.recall}
    if pairs.precision is not None:
        figures["average_precision"] = pairs.precision
    values = {name: _values(figure) for name, figure in figures.items()}
    methods: dict[str, dict[str, float | None]] = {
        method: {name: figure[method] for name, figure in values.items()} for method in METHODS
    }
    for method, separation in pairs.separation.items():
        methods[method] |= {name: _rounded(v) for name, v in asdict(separation).items()}
    return {
        **methods,
        "intervals": {name: _intervals(figure) for name, figure in figures.items()},
        "differences": {name: _differences(figure) for name, figure in figures.items()},
        "pairs_read": pairs.positions.read,
        "pairs_measured": len(pairs.positions.match),
        "matches": int(pairs.positions.match.sum()),
        "pairs_with_itself": pairs.positions.itself,
        "unknown_ids": pairs.positions.unknown,
        "items_with_partners": pairs.measured,
    }


def _values(figure: Figure) -> dict[str, float | None]:
    return {
        name: _rounded(figure.values[name].value) if name in figure.values else None
        for name in METHODS
    }


def _intervals(figure: Figure) -> dict[str, list[float | None] | None]:
    return {
        name: _interval(figure.values[name]) if name in figure.values else None for name in METHODS
    }


def _differences(figure: Figure) -> dict[str, dict[str, Any] | None]:
    return {
        name: {
            "value": _rounded(figure.differences[name].value),
            "interval": _interval(figure.differences[name]),
        }
        if name in figure.differences
        else None
        for name in BASELINES
    }


def _interval(estimate: Estimate) -> list[float | None]:
    return [
        None if estimate.low is None else _rounded(estimate.low),
        None if estimate.high is None else _rounded(estimate.high),
    ]


def _rounded(value: float) -> float:
    return round(value, 6)


def figures(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """One row a figure and method.

    Yields:
        measure, of, k, method, value, low, high, difference, its low and high, items; a difference
        is the current figure minus the method's, None for the current method.
    """
    k = evaluation.k
    for name, label in evaluation.labels.items():
        yield from _rows("label_recall", name, k, label.recall, label.measured)
    if evaluation.pairs is None:
        return
    pairs, of = evaluation.pairs, "pairs"
    yield from _rows("pair_recall", of, k, pairs.recall, pairs.measured)
    positions = pairs.positions
    items = len(np.unique(np.concatenate([positions.left, positions.right])))
    if pairs.precision is not None:
        yield from _rows("average_precision", of, k, pairs.precision, items)
    for method, separation in pairs.separation.items():
        for measure, value in asdict(separation).items():
            yield (measure, of, k, method, float(value), *[None] * 5, items)


def _rows(measure: str, of: str, k: int, figure: Figure, items: int) -> Iterator[tuple[Any, ...]]:
    for method, estimate in figure.values.items():
        difference = figure.differences.get(method)
        numbers = [
            *(estimate.value, estimate.low, estimate.high),
            *((difference.value, difference.low, difference.high) if difference else [None] * 3),
        ]
        yield (measure, of, k, method, *(None if n is None else float(n) for n in numbers), items)


def lines(evaluation: Evaluation) -> Iterator[str]:
    """The result for people."""
    items, total = evaluation.items, evaluation.total
    sample = "all of them" if items == total else f"a sample of {total:,}"
    yield f"Items       {items:,} ({sample}), embeddings {evaluation.embeddings}"
    for name, reason in evaluation.missing.items():
        yield f"            {name} is not measured: {reason}"
    header = ("", *METHODS, *(f"current - {name}" for name in BASELINES))
    k = evaluation.k
    if evaluation.labels:
        yield ""
        yield f"Label recall@{k}: of the items of the same label, the share among the nearest"
        rows = [
            (
                f"{name} ({label.measured:,} items, {label.classes:,} labels)",
                *_cells(label.recall),
            )
            for name, label in evaluation.labels.items()
        ]
        yield from table(header, rows)
    if evaluation.pairs:
        yield ""
        yield from _pairs_lines(evaluation.pairs, k, header)


def _pairs_lines(pairs: PairFigures, k: int, header: tuple[str, ...]) -> Iterator[str]:
    positions = pairs.positions
    count = len(positions.match)
    yield f"Pairs       {count:,}, of which {int(positions.match.sum()):,} match"
    if positions.unknown:
        left_out = positions.read - positions.itself - count
        unknown = positions.unknown
        yield f"            left out: {left_out:,}, as the catalogue lacks {unknown:,} ids"
    if positions.itself:
        yield f"            left out: {positions.itself:,} of an item with itself"
    rows = [(f"recall@{k} of partners ({pairs.measured:,} items)", *_cells(pairs.recall))]
    if pairs.precision is not None:
        rows = [
            ("average precision", *_cells(pairs.precision)),
            *rows,
            *_separation_rows(pairs.separation),
        ]
    yield from table(header, rows)


def _separation_rows(separation: dict[str, Separation]) -> list[tuple[str, ...]]:
    """The rows of ROC AUC and of the best F1; they have no differences."""
    methods = [separation.get(name) for name in METHODS]
    no_differences = (_NONE,) * len(BASELINES)
    auc = [_NONE if m is None else f"{m.roc_auc:.3f}" for m in methods]
    f1 = [_NONE if m is None else f"{m.best_f1:.3f} from {m.threshold:.3f}" for m in methods]
    return [
        ("ROC AUC", *auc, *no_differences),
        ("best F1, from a cosine on", *f1, *no_differences),
    ]


def _cells(figure: Figure) -> list[str]:
    values = [figure.values.get(name) for name in METHODS]
    return [
        *(_cell(estimate, "") for estimate in values),
        *(_cell(figure.differences.get(name), "+") for name in BASELINES),
    ]


def _cell(estimate: Estimate | None, sign: str) -> str:
    if estimate is None:
        return _NONE
    value = f"{round(estimate.value, 3) + 0.0:{sign}.3f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ±{(estimate.high - estimate.low) / 2:.3f}"
