"""What was measured, as JSON for programs and as tables for people."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.comparison import METHODS, OTHERS, Figure, OfLabel, OfPairs
from pipeline.evaluation.measures import Estimate
from pipeline.terminal.output import table

_NONE = "-"


@dataclass(frozen=True)
class Evaluation:
    """What `nitamono evaluate` found.

    Attributes:
        k: neighbours that count.
        items: items taken.
        total: items of the catalogue.
        run_id: the run that made or found the embeddings.
        embeddings: their version.
        labels: by column.
        pairs: None where none were given.
        missing: why a method was not measured, by its name.
    """

    k: int
    items: int
    total: int
    run_id: str
    embeddings: str
    labels: dict[str, OfLabel]
    pairs: OfPairs | None
    missing: dict[str, str]


def as_json(found: Evaluation) -> dict[str, Any]:
    """For programs; of a method that was not measured the figures are null."""
    labels = {name: _label_json(of) for name, of in found.labels.items()}
    first = next(iter(labels), None)
    return {
        "k": found.k,
        "items": found.items,
        "catalogue_items": found.total,
        "sample": found.items < found.total,
        "run_id": found.run_id,
        "embeddings": found.embeddings,
        "missing": found.missing,
        **({"label": first, **labels[first], "labels": labels} if first is not None else {}),
        **({"pairs": _pairs_json(found.pairs)} if found.pairs else {}),
    }


def _label_json(found: OfLabel) -> dict[str, Any]:
    return {
        "recall": _values(found.recall),
        "intervals": _intervals(found.recall),
        "differences": _differences(found.recall),
        "labelled_items": found.labelled,
        "measured_items": found.measured,
        "classes": found.classes,
    }


def _pairs_json(found: OfPairs) -> dict[str, Any]:
    figures = {"recall": found.recall}
    if found.precision is not None:
        figures["average_precision"] = found.precision
    values = {name: _values(figure) for name, figure in figures.items()}
    of_methods: dict[str, dict[str, float | None]] = {
        method: {name: of[method] for name, of in values.items()} for method in METHODS
    }
    for method, separation in found.separation.items():
        of_methods[method] |= {name: _rounded(v) for name, v in asdict(separation).items()}
    return {
        **of_methods,
        "intervals": {name: _intervals(figure) for name, figure in figures.items()},
        "differences": {name: _differences(figure) for name, figure in figures.items()},
        "pairs_read": found.places.read,
        "pairs_measured": len(found.places.match),
        "matches": int(found.places.match.sum()),
        "pairs_with_itself": found.places.itself,
        "unknown_ids": found.places.unknown,
        "items_with_partners": found.measured,
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
        for name in OTHERS
    }


def _interval(of: Estimate) -> list[float | None]:
    return [
        None if of.low is None else _rounded(of.low),
        None if of.high is None else _rounded(of.high),
    ]


def _rounded(value: float) -> float:
    return round(value, 6)


def figures(found: Evaluation) -> Iterator[tuple[Any, ...]]:
    """One row a figure and method.

    Yields:
        measure, of, k, method, value, low, high, difference, its low and high, items; the
        differences are of the current vectors and the method, None for the current ones.
    """
    for name, label in found.labels.items():
        yield from _rows("label_recall", name, found.k, label.recall, label.measured)
    if found.pairs is None:
        return
    pairs, of = found.pairs, "pairs"
    yield from _rows("pair_recall", of, found.k, pairs.recall, pairs.measured)
    items = len(np.unique(np.concatenate([pairs.places.left, pairs.places.right])))
    if pairs.precision is not None:
        yield from _rows("average_precision", of, found.k, pairs.precision, items)
    for method, separation in pairs.separation.items():
        for measure, value in asdict(separation).items():
            yield (measure, of, found.k, method, float(value), *[None] * 5, items)


def _rows(measure: str, of: str, k: int, figure: Figure, items: int) -> Iterator[tuple[Any, ...]]:
    for method, value in figure.values.items():
        less = figure.differences.get(method)
        difference = (less.value, less.low, less.high) if less else (None, None, None)
        told = (value.value, value.low, value.high, *difference)
        yield (measure, of, k, method, *(None if n is None else float(n) for n in told), items)


def lines(found: Evaluation) -> Iterator[str]:
    """For people."""
    of_all = "all of them" if found.items == found.total else f"a sample of {found.total:,}"
    yield f"Items       {found.items:,} ({of_all}), embeddings {found.embeddings}"
    for name, why in found.missing.items():
        yield f"            {name} is not measured: {why}"
    head = ("", *METHODS, *(f"current - {name}" for name in OTHERS))
    if found.labels:
        yield ""
        yield f"Label recall@{found.k}: of the items of the same label, the share among the nearest"
        rows = [
            (
                f"{name} ({of.measured:,} items, {of.classes:,} labels)",
                *_cells(of.recall),
            )
            for name, of in found.labels.items()
        ]
        yield from table(head, rows)
    if found.pairs:
        yield ""
        yield from _pairs_lines(found.pairs, found.k, head)


def _pairs_lines(found: OfPairs, k: int, head: tuple[str, ...]) -> Iterator[str]:
    places = found.places
    yield f"Pairs       {len(places.match):,}, of which {int(places.match.sum()):,} match"
    if places.unknown:
        left_out = places.read - places.itself - len(places.match)
        yield f"            left out: {left_out:,}, as the catalogue lacks {places.unknown:,} ids"
    if places.itself:
        yield f"            left out: {places.itself:,} of an item with itself"
    rows = [(f"recall@{k} of partners ({found.measured:,} items)", *_cells(found.recall))]
    if found.precision is not None:
        rows = [("average precision", *_cells(found.precision)), *rows]
        told = [found.separation.get(name) for name in METHODS]
        none = (_NONE,) * len(OTHERS)
        auc = [_NONE if of is None else f"{of.roc_auc:.3f}" for of in told]
        f1 = [_NONE if of is None else f"{of.best_f1:.3f} from {of.threshold:.3f}" for of in told]
        rows += [("ROC AUC", *auc, *none), ("best F1, from a cosine on", *f1, *none)]
    yield from table(head, rows)


def _cells(figure: Figure) -> list[str]:
    values = [figure.values.get(name) for name in METHODS]
    return [
        *(_cell(of, "") for of in values),
        *(_cell(figure.differences.get(name), "+") for name in OTHERS),
    ]


def _cell(of: Estimate | None, sign: str) -> str:
    if of is None:
        return _NONE
    value = f"{round(of.value, 3) + 0.0:{sign}.3f}"
    if of.low is None or of.high is None:
        return value
    return f"{value} ±{(of.high - of.low) / 2:.3f}"
