"""The result of an evaluation for people: tables on the terminal."""

from collections.abc import Iterator

from pipeline.evaluation.comparison import AGAINST, SHARED_NDCG, Separation
from pipeline.evaluation.figures import ALL_LABELS, CURRENT, PAIRS, Figure, Subject, label
from pipeline.evaluation.intervals import Difference, Estimate
from pipeline.evaluation.judging import PRECISION, AnswerFigures
from pipeline.evaluation.result import Evaluation, GroupFigures
from pipeline.terminal.output import table

_NONE = "-"
# What each measure of neighbours is called.
_TITLES = {
    "recall": "Label recall@{k}: of the items of the same label, the share among the nearest",
    "ndcg": "nDCG@{k}: the same, a near neighbour worth more than a far one",
    "reciprocal_rank": "Mean reciprocal rank@{k}: 1 / rank of the first of the same label",
}
_OF_PAIRS = {
    "recall": "recall@{k} of partners",
    "ndcg": "nDCG@{k} of partners",
    "reciprocal_rank": "mean reciprocal rank@{k} of partners",
}
_SIGNS = ("items higher", "lower", "p")
_LEAST_P = 0.001


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
        rows = [
            (
                f"{name} ({sizes.measured:,} items, {sizes.classes:,} labels)",
                *_cells(evaluation.figures[label(name)][measure], evaluation),
            )
            for name, sizes in evaluation.labels.items()
        ]
        if measure in together:
            rows.append(("mean of the labels", *_cells(together[measure], evaluation)))
        if measure == "ndcg" and SHARED_NDCG in together:
            shared = together[SHARED_NDCG]
            rows.append((f"labels shared ({shared.measured:,} items)", *_cells(shared, evaluation)))
        yield ""
        yield title.format(k=evaluation.k)
        yield from table(_head(evaluation), rows)


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
    rows = [
        (
            f"{_OF_PAIRS[measure].format(k=evaluation.k)} ({figure.measured:,} items)",
            *_cells(figure, evaluation),
        )
        for measure, figure in evaluation.figures[PAIRS].items()
    ]
    if cosines.precision is not None:
        rows = [
            ("average precision", *_cells(cosines.precision, evaluation)),
            *rows,
            *_separation_rows(cosines.separation, evaluation),
        ]
    yield from table(_head(evaluation), rows)


def _separation_rows(
    separation: dict[str, Separation], evaluation: Evaluation
) -> list[tuple[str, ...]]:
    """The rows of ROC AUC and of the best F1; they have no differences."""
    methods = [separation.get(name) for name in evaluation.methods]
    rest = (_NONE,) * (len(_head(evaluation)) - 1 - len(methods))
    auc = [_NONE if m is None else f"{m.roc_auc:.3f}" for m in methods]
    f1 = [_NONE if m is None else f"{m.best_f1:.3f} from {m.threshold:.3f}" for m in methods]
    return [
        ("ROC AUC", *auc, *rest),
        ("best F1, from a cosine on", *f1, *rest),
    ]


def _group_lines(name: str, groups: list[GroupFigures], evaluation: Evaluation) -> Iterator[str]:
    """A table for what the groups are measured by: each column of labels, and the pairs."""
    subjects = [label(column) for column in evaluation.labels]
    subjects += [PAIRS] if PAIRS in evaluation.figures else []
    for subject in subjects:
        yield ""
        yield f"By {name}: {_group_title(subject).format(k=evaluation.k)}"
        rows = []
        for group in groups:
            figure = group.figures.get(subject, {}).get("recall")
            measured = figure.measured if figure else 0
            cells = _cells(figure or Figure({}, {}, 0), evaluation)
            rows.append((f"{group.name} ({measured:,} items)", *cells))
        yield from table(_head(evaluation), rows)


def _group_title(subject: Subject) -> str:
    return _OF_PAIRS["recall"] if subject == PAIRS else f"recall@{{k}} of {subject.name}"


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
        return
    name = f"judged precision@{evaluation.k} ({answers.items:,} items)"
    judged = [
        f"{answers.judged[m]:.0%}" if m in answers.judged else _NONE for m in evaluation.methods
    ]
    head = _head(evaluation)
    rest = (_NONE,) * (len(head) - 1 - len(judged))
    rows = [(name, *_cells(figure, evaluation)), ("neighbours judged", *judged, *rest)]
    yield from table(head, rows)


def _head(evaluation: Evaluation) -> tuple[str, ...]:
    others = evaluation.methods[1:]
    signs = _SIGNS if others == (AGAINST,) else ()
    return ("", *evaluation.methods, *(f"{CURRENT} - {name}" for name in others), *signs)


def _cells(figure: Figure, evaluation: Evaluation) -> list[str]:
    """A cell for each column of `_head` but the first."""
    others = evaluation.methods[1:]
    return [
        *(_cell(figure.values.get(name), "") for name in evaluation.methods),
        *(_cell(figure.differences.get(name), "+") for name in others),
        *(_signs(figure.differences.get(AGAINST)) if others == (AGAINST,) else ()),
    ]


def _signs(difference: Difference | None) -> tuple[str, ...]:
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
