"""What an evaluation prints, of a sample that is made by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.evaluation import evaluate, groups, methods, report, report_json
from pipeline.evaluation.answers import Answers
from pipeline.evaluation.figures import CURRENT
from pipeline.evaluation.groups import Group
from pipeline.evaluation.methods import Method
from pipeline.evaluation.request import EvaluationRequest
from pipeline.evaluation.result import Evaluation
from pipeline.evaluation.sample import Sample
from pipeline.terminal.progress import StageLine

VECTORS = np.random.default_rng(1).normal(size=(3, 6, 8)).astype(np.float16)
LONG = ["電" * 5_000, "a" * 5_000]
SAMPLE = Sample(
    ids=pa.array([f"i{n}" for n in range(6)]),
    tokens=pa.array([[]] * 6, pa.list_(pa.string())),
    halves=pa.nulls(6, pa.binary()),
    labels={"shelf": np.array([0, 0, 1, 1, 1, -1])},
    groupings={"note": groups.by_value(pa.array(LONG * 3))},
    total=6,
)
REQUEST = EvaluationRequest(("shelf",), None, 10, 6, groups=(Group.of("note"),))


def prepared(request: EvaluationRequest) -> evaluate._Prepared:
    compared: dict[str, Method] = {
        name: methods.Dense(pa.array([row.tobytes() for row in rows], pa.binary()))
        for name, rows in zip((CURRENT, "mean", "tfidf"), VECTORS, strict=True)
    }
    return evaluate._prepare(SAMPLE, compared, {}, request, StageLine(""))


def measured(request: EvaluationRequest) -> Evaluation:
    return evaluate._measure(prepared(request), request)


def test_more_neighbours_than_there_are_items_are_all_items() -> None:
    # So many places of neighbours would fill no memory that there is.
    many = measured(replace(REQUEST, k=10**12))
    all_others = measured(replace(REQUEST, k=5))
    assert many.figures == all_others.figures
    assert "Label recall@1000000000000: " in "\n".join(report.lines(many))


def test_long_names_of_groups_are_cut_but_in_json() -> None:
    evaluation = measured(REQUEST)
    assert max(map(len, report.lines(evaluation))) < 120
    names = [one["group"] for one in report_json.as_json(evaluation)["groups"]["note"]]
    assert sorted(names) == sorted(LONG)


def test_a_figure_that_a_method_lacks_is_null(tmp_path: Path) -> None:
    answers = Answers(str(tmp_path / "answers.csv"), "anna")
    request = replace(REQUEST, k=1, answers=answers)
    ready = prepared(request)
    found = {name: near[:, 0] for name, near in ready.nearest.items()}
    item = next(n for n in range(6) if found[CURRENT][n] != found["mean"][n])
    answers.put(f"i{item}", f"i{found[CURRENT][item]}", match=True)
    evaluation = evaluate._measure(ready, request)
    text = json.dumps(report_json.as_json(evaluation), allow_nan=False)
    precision = json.loads(text)["answers"]["precision"]
    assert (precision["values"]["current"], precision["values"]["mean"]) == (1, None)
    assert precision["differences"]["mean"] is None
    assert "nan" not in "\n".join(report.lines(evaluation))
    judged = [row for row in report_json.figures(evaluation) if row[0] == "judged_precision"]
    assert "mean" not in [row[3] for row in judged]


def test_answers_that_say_nothing_of_the_current_settings_are_said_to(tmp_path: Path) -> None:
    answers = Answers(str(tmp_path / "answers.csv"), "anna")
    request = replace(REQUEST, k=1, answers=answers)
    ready = prepared(request)
    assert list(report.lines(evaluate._measure(ready, request)))[-1] == "Answers     0"
    nearest = ready.nearest[CURRENT][0, 0]
    other = next(n for n in range(1, 6) if n != nearest)
    answers.put("i0", f"i{other}", match=True)
    last = list(report.lines(evaluate._measure(ready, request)))[-1]
    assert last == "            none is of a neighbour by the current settings: judge more"
