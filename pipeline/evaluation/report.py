"""The result of an evaluation for people: tables on the terminal."""

from collections.abc import Iterator

from pipeline.evaluation.comparison import AGAINST, SHARED_NDCG, Separation
from pipeline.evaluation.figures import ALL_LABELS, PAIRS, Figure, label
from pipeline.evaluation.intervals import Difference, Estimate
from pipeline.evaluation.judging import PRECISION, AnswerFigures
from pipeline.evaluation.result import Evaluation, GroupFigures
from pipeline.terminal.output import shorten, table

_NONE = "-"
# A group is named by a text of the catalogue, which may be long.
_GROUP_WIDTH = 40
# What each measure of neighbours is called.
_TITLES = {
    "recall": "Label recall@{k}: of the items of the same label, the share among the nearest",
    "ndcg": "nDCG@{k}: the same, a near neighbour worth more than a far one",
    "reciprocal_rank": "Mean reciprocal rank@{k}: 1 / rank of the first of the same label",
}
_OF_PAIRS = {
    "recall": "recall@{k}",
    "ndcg": "nDCG@{k}",
    "reciprocal_rank": "reciprocal rank@{k}",
}
_SIGNS = ("higher", "lower", "p")
_LEAST_P = 0.001
# Below the current figure: what stands under the others is what is left.
_MINUS = "minus these:"
Row = tuple[str, ...]


def lines(evaluation: Evaluation) -> Iterator[str]:
    """The result for people."""
    items, total = evaluation.items, evaluation.total
    sample = "all of them" if items == total else f"a sample of {total:,}"
    yield f"Items       {items:,} ({sample}), embeddings {evaluation.embeddings}"
    if evaluation.against:
        yield f"            against embeddings {evaluation.against}"
    for name, reason in evaluation.missing.items():
        yield f"            {name} is not measured: {reason}"
    if evaluation.labels:
        yield from _label_lines(evaluation)
    if evaluation.pairs is not None:
        yield ""
        yield from _pairs_lines(evaluation)
    for name, groups in evaluation.groups.items():
        yield from _group_lines(name, groups, evaluation)
    if evaluation.answers is not None:
        yield ""
        yield from _answer_lines(evaluation.answers, evaluation)


def _label_lines(evaluation: Evaluation) -> Iterator[str]:
    together = evaluation.figures.get(ALL_LABELS, {})
    for measure, title in _TITLES.items():
        rows = []
        for name, sizes in evaluation.labels.items():
            figure = evaluation.figures[label(name)][measure]
            rows += _rows(f"{name} ({sizes.classes:,} labels)", figure, evaluation)
        if measure in together:
            rows += _rows("mean of the labels", together[measure], evaluation)
        if measure == "ndcg" and SHARED_NDCG in together:
            rows += _rows("labels shared", together[SHARED_NDCG], evaluation)
        yield ""
        yield title.format(k=evaluation.k)
        yield from _table("label", rows, evaluation)


def _pairs_lines(evaluation: Evaluation) -> Iterator[str]:
    positions, cosines = evaluation.pairs, evaluation.cosines
    if positions is None or cosines is None:
        return
    count = len(positions.match)
    yield f"Pairs       {count:,}, of which {int(positions.match.sum()):,} match"
    if positions.unknown:
        left_out = positions.read - positions.itself - count
        unknown = positions.unknown
        yield f"            left out: {left_out:,}, as the catalogue lacks {unknown:,} ids"
    if positions.itself:
        yield f"            left out: {positions.itself:,} of an item with itself"
    rows = []
    if cosines.precision is not None:
        rows += _rows("average precision", cosines.precision, evaluation)
    for measure, figure in evaluation.figures[PAIRS].items():
        rows += _rows(_OF_PAIRS[measure].format(k=evaluation.k), figure, evaluation)
    yield from _table(
        "figure", [*rows, *_separation_rows(cosines.separation, evaluation)], evaluation
    )


def _separation_rows(separation: dict[str, Separation], evaluation: Evaluation) -> list[Row]:
    """The rows of ROC AUC and of the best F1; they have no intervals."""
    if not separation:
        return []
    texts = [
        (f"{one.roc_auc:.3f}", f"{one.best_f1:.3f}", f"{one.threshold:.3f}")
        if (one := separation.get(name))
        else (_NONE,) * 3
        for name in evaluation.methods
    ]
    names = ("ROC AUC", "best F1", "from a cosine of")
    return [(name, "", *cells) for name, *cells in zip(names, *texts, strict=True)]


def _group_lines(name: str, groups: list[GroupFigures], evaluation: Evaluation) -> Iterator[str]:
    """A table for what the groups are measured by: each column of labels, and the pairs."""
    subjects = [label(column) for column in evaluation.labels]
    subjects += [PAIRS] if PAIRS in evaluation.figures else []
    for subject in subjects:
        of = "partners in pairs" if subject == PAIRS else subject.name
        yield ""
        yield f"By {name}: recall@{evaluation.k} of {of}"
        rows = []
        for group in groups:
            figure = group.figures.get(subject, {}).get("recall", Figure({}, {}, 0))
            rows += _rows(shorten(group.name, _GROUP_WIDTH), figure, evaluation)
        yield from _table("group", rows, evaluation)


def _answer_lines(answers: AnswerFigures, evaluation: Evaluation) -> Iterator[str]:
    judges = ", ".join(f"{name} {count:,}" for name, count in answers.judges.items())
    yield f"Answers     {answers.answers:,}{f': {judges}' if judges else ''}"
    if answers.left_out:
        yield f"            left out: {answers.left_out:,}, as the sample lacks their items"
    for one in answers.agreements:
        kappa = _NONE if one.kappa is None else f"{one.kappa:.3f}"
        yield (
            f"            {' and '.join(one.judges)}: {one.observed:.1%} of {one.pairs:,} pairs "
            f"alike, Cohen's kappa {kappa}"
        )
    figure = answers.figures.get(PRECISION)
    if figure is None:
        if answers.answers:
            yield "            none is of a neighbour by the current settings: judge more"
        return
    judged = [
        f"{answers.judged[m]:.0%}" if m in answers.judged else _NONE for m in evaluation.methods
    ]
    rows = _rows(f"judged precision@{evaluation.k}", figure, evaluation)
    yield from _table("figure", [*rows, ("neighbours judged", "", *judged)], evaluation)


def _table(head: str, rows: list[Row], evaluation: Evaluation) -> list[str]:
    """A table of at most 80 columns, or cut to the terminal's if names are long."""
    signs = _SIGNS if evaluation.against else ()
    columns = (head, "items", *evaluation.methods, *signs)
    whole = [(*row, *[""] * (len(columns) - len(row))) for row in rows]
    return table(columns, whole, right="items higher lower", cut=head)


def _rows(name: str, figure: Figure, evaluation: Evaluation) -> list[Row]:
    """A figure of every method, and below it by how much the current one is higher."""
    values = [_cell(figure.values.get(method), "") for method in evaluation.methods]
    first = (name, f"{figure.measured:,}", *values)
    if not figure.differences:
        return [first]
    rest = [_cell(figure.differences.get(method), "+") for method in evaluation.methods[1:]]
    signs = _signs(figure.differences.get(AGAINST)) if evaluation.against else ()
    return [first, ("", "", _MINUS, *rest, *signs)]


def _signs(difference: Difference | None) -> Row:
    if difference is None or difference.p is None:
        return (_NONE,) * len(_SIGNS)
    p = f"{difference.p:.3f}" if difference.p >= _LEAST_P else f"< {_LEAST_P}"
    return (f"{difference.higher:,}", f"{difference.lower:,}", p)


def _cell(estimate: Estimate | None, sign: str) -> str:
    if estimate is None:
        return _NONE
    value = f"{round(estimate.value, 3) + 0.0:{sign}.3f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ±{(estimate.high - estimate.low) / 2:.3f}"
