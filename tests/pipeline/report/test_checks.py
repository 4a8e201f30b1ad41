"""Figures against the gate's limits."""

from typing import Any

import pytest

from pipeline.report import checks
from tests.pipeline.report import handmade


def states(run_json: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in checks.checks(run_json)}


def test_within_the_limits_all_is_good() -> None:
    names = ("recall", "without", "rows", "coverage", "churn")
    assert states(handmade.run_json()) == dict.fromkeys(names, "good")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("recall", {"value": 0.96}),
        ("without", {"items_without_neighbors": 29}),
        ("rows", {"rows": 449}),
        ("coverage", {"items": 44}),
        ("churn", {"churn": 0.51}),
    ],
)
def test_what_the_gate_would_hold_back_for_is_marked(name: str, change: dict[str, Any]) -> None:
    for status, state in (("held_back", "bad"), ("published", "waived")):
        run_json = handmade.run_json(status=status)
        (run_json["recall"] if name == "recall" else run_json["counts"]["gate"]).update(change)
        assert {n for n, state in states(run_json).items() if state != "good"} == {name}
        assert states(run_json)[name] == state


def test_a_least_recall_of_its_own_stands_for_the_target() -> None:
    run_json = handmade.run_json()
    run_json["settings"]["publish"]["min_recall"] = 0.995
    assert checks.min_recall(run_json["settings"]) == 0.995
    assert states(run_json)["recall"] == "waived"


def test_of_a_run_that_did_not_come_so_far_nothing_is_said() -> None:
    assert checks.checks(handmade.run_json(counts={}, recall=None)) == []


@pytest.mark.parametrize(
    ("status", "met", "state"),
    [("failed", False, "bad"), ("published", True, "good"), ("done", False, "waived")],
)
def test_what_was_expected_of_the_catalogue_comes_first(status: str, met: bool, state: str) -> None:
    found = {"name": "distinct", "value": 4, "limit": 3, "side": "most", "unit": "count"}
    expected = found | {"setting": "expect.max_distinct.brand", "column": "brand", "met": met}
    run_json = handmade.run_json(status=status)
    run_json["counts"]["expectations"] = [expected]
    first = checks.checks(run_json)[0]
    assert first == found | {"name": "expected_distinct", "column": "brand", "state": state}
