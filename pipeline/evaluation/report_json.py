"""The result of an evaluation for programs: as JSON, and as rows."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.evaluation.comparison import AGAINST, LabelSizes
from pipeline.evaluation.figures import ALL_LABELS, ANSWERS, CURRENT, PAIRS, Figure, Subject, label
from pipeline.evaluation.intervals import Difference, Estimate
from pipeline.evaluation.judging import AnswerFigures
from pipeline.evaluation.result import Evaluation

# The first measure of labels has its values, intervals and differences beside the others.
_FIRST = "recall"


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The result for programs; the figures of a method that was not measured are null."""
    methods = evaluation.methods
    labels = {
        name: _label_json(evaluation.figures[label(name)], sizes, methods)
        for name, sizes in evaluation.labels.items()
    }
    first = next(iter(labels), None)
    result: dict[str, Any] = {
        "k": evaluation.k,
        "items": evaluation.items,
        "catalogue_items": evaluation.total,
        "sample": evaluation.items < evaluation.total,
        "run_id": evaluation.run_id,
        "embeddings": evaluation.embeddings,
        "missing": evaluation.missing,
    }
    if evaluation.against:
        result["against"] = evaluation.against
    if first is not None:
        result |= {"label": first, **labels[first], "labels": labels}
    if ALL_LABELS in evaluation.figures:
        result["all_labels"] = _figures_json(evaluation.figures[ALL_LABELS], methods)
    if evaluation.pairs is not None:
        result["pairs"] = _pairs_json(evaluation)
    if evaluation.groups:
        result["groups"] = {
            name: [
                {
                    "group": group.name,
                    "items": group.items,
                    "figures": [
                        {"of": subject.kind, "name": subject.name} | _figures_json(own, methods)
                        for subject, own in group.figures.items()
                    ],
                }
                for group in groups
            ]
            for name, groups in evaluation.groups.items()
        }
    if evaluation.answers is not None:
        result["answers"] = _answers_json(evaluation.answers, methods)
    return result


def _label_json(
    figures: Mapping[str, Figure], sizes: LabelSizes, methods: tuple[str, ...]
) -> dict[str, Any]:
    first = _figure_json(figures[_FIRST], methods)
    return {
        _FIRST: first["values"],
        "intervals": first["intervals"],
        "differences": first["differences"],
        "labelled_items": sizes.labelled,
        "measured_items": sizes.measured,
        "classes": sizes.classes,
        **_further(figures, methods),
    }


def _further(figures: Mapping[str, Figure], methods: tuple[str, ...]) -> dict[str, Any]:
    return {
        measure: _figure_json(figure, methods)
        for measure, figure in figures.items()
        if measure != _FIRST
    }


def _figures_json(figures: Mapping[str, Figure], methods: tuple[str, ...]) -> dict[str, Any]:
    return {
        measure: _figure_json(figure, methods) | {"items": figure.measured}
        for measure, figure in figures.items()
    }


def _figure_json(figure: Figure, methods: tuple[str, ...]) -> dict[str, Any]:
    others = [method for method in methods if method != CURRENT]
    values, differences = figure.values, figure.differences
    return {
        "values": {
            name: _rounded(values[name].value) if name in values else None for name in methods
        },
        "intervals": {
            name: _interval(values[name]) if name in values else None for name in methods
        },
        "differences": {
            name: {
                "value": _rounded(differences[name].value),
                "interval": _interval(differences[name]),
                **(_signs(differences[name]) if name == AGAINST else {}),
            }
            if name in differences
            else None
            for name in others
        },
    }


def _signs(difference: Difference) -> dict[str, Any]:
    p = None if difference.p is None else float(f"{difference.p:.4g}")
    return {"higher": difference.higher, "lower": difference.lower, "p": p}


def _pairs_json(evaluation: Evaluation) -> dict[str, Any]:
    pairs, cosines = evaluation.pairs, evaluation.cosines
    if pairs is None or cosines is None:
        return {}
    measures, methods = evaluation.figures[PAIRS], evaluation.methods
    parts = {_FIRST: _figure_json(measures[_FIRST], methods)}
    if cosines.precision is not None:
        parts["average_precision"] = _figure_json(cosines.precision, methods)
    of_methods: dict[str, dict[str, float | None]] = {
        method: {name: part["values"][method] for name, part in parts.items()} for method in methods
    }
    for method, separation in cosines.separation.items():
        of_methods[method] |= {name: _rounded(v) for name, v in asdict(separation).items()}
    return {
        **of_methods,
        "intervals": {name: part["intervals"] for name, part in parts.items()},
        "differences": {name: part["differences"] for name, part in parts.items()},
        "pairs_read": pairs.read,
        "pairs_measured": len(pairs.match),
        "matches": int(pairs.match.sum()),
        "pairs_with_itself": pairs.itself,
        "unknown_ids": pairs.unknown,
        "items_with_partners": measures[_FIRST].measured,
        **_further(measures, methods),
    }


def _answers_json(answers: AnswerFigures, methods: tuple[str, ...]) -> dict[str, Any]:
    return {
        **_figures_json(answers.figures, methods),
        "judged": {name: _rounded(share) for name, share in answers.judged.items()},
        "items": answers.items,
        "answers": answers.answers,
        "answers_left_out": answers.left_out,
        "judges": answers.judges,
        "agreement": [
            {
                "judges": list(one.judges),
                "pairs": one.pairs,
                "alike": _rounded(one.observed),
                "kappa": None if one.kappa is None else _rounded(one.kappa),
            }
            for one in answers.agreements
        ],
    }


def _interval(estimate: Estimate) -> list[float | None]:
    return [
        None if estimate.low is None else _rounded(estimate.low),
        None if estimate.high is None else _rounded(estimate.high),
    ]


def _rounded(value: float) -> float:
    return round(value, 6)


# The names of measures in rows.
_ROW_NAMES = {
    "label": {"recall": "label_recall"},
    "labels": {"recall": "label_recall"},
    "pairs": {"recall": "pair_recall"},
    "answers": {"precision": "judged_precision"},
}
_NO_GROUP = (None, None)


def figures(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """One row a figure and method.

    Yields:
        measure, of, k, method, value, low, high, difference, its low and high, items, what the
        items are grouped by, and the group; a difference is the current figure minus the method's,
        None for the current method; the last two are None for all items.
    """
    k = evaluation.k
    for subject, of_subject in evaluation.figures.items():
        for measure, figure in of_subject.items():
            yield from _rows(measure, subject, k, figure)
    if evaluation.cosines is not None and evaluation.cosines.precision is not None:
        precision = evaluation.cosines.precision
        yield from _rows("average_precision", PAIRS, k, precision)
        for method, separation in evaluation.cosines.separation.items():
            for measure, value in asdict(separation).items():
                row = (measure, PAIRS.name, k, method, float(value), *[None] * 5)
                yield (*row, precision.measured, *_NO_GROUP)
    for name, groups in evaluation.groups.items():
        for group in groups:
            for subject, of_subject in group.figures.items():
                for measure, figure in of_subject.items():
                    yield from _rows(measure, subject, k, figure, (name, group.name))
    if evaluation.answers is not None:
        for measure, figure in evaluation.answers.figures.items():
            yield from _rows(measure, ANSWERS, k, figure)


def _rows(
    measure: str,
    subject: Subject,
    k: int,
    figure: Figure,
    group: tuple[str | None, str | None] = _NO_GROUP,
) -> Iterator[tuple[Any, ...]]:
    name = _ROW_NAMES[subject.kind].get(measure, measure)
    for method, estimate in figure.values.items():
        difference = figure.differences.get(method)
        numbers = [
            *(estimate.value, estimate.low, estimate.high),
            *((difference.value, difference.low, difference.high) if difference else [None] * 3),
        ]
        values = (None if n is None else float(n) for n in numbers)
        yield (name, subject.name, k, method, *values, figure.measured, *group)
