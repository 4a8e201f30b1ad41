"""A run's figures compared with the limits of [expect] and of the gate, for its page."""

from collections.abc import Iterator, Mapping
from typing import Any

GOOD, BAD, WAIVED = "good", "bad", "waived"
AT_LEAST, AT_MOST = "least", "most"
# Checks of the catalogue have this before their names.
EXPECTED = "expected_"


def checks(run_json: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures that are checked: of the catalogue, and those of the gate.

    Args:
        run_json: the run's run.json.

    Returns:
        For each figure: name, value, limit; side: whether the limit is a minimum ("least") or a
        maximum ("most"); state: good, bad, or waived, which means beyond the limit, but published
        because the run was told to. Those of the catalogue have a unit (share, count or distance),
        and a column, too.
    """
    return [*_of_catalogue(run_json), *_of_gate(run_json)]


def _of_catalogue(run_json: dict[str, Any]) -> Iterator[dict[str, Any]]:
    is_experiment = run_json["status"] == "done"
    for found in run_json["counts"].get("expectations", ()):
        state = GOOD if found["met"] else WAIVED if is_experiment else BAD
        shown = {key: found[key] for key in ("value", "limit", "side", "unit", "column")}
        yield {"name": f"{EXPECTED}{found['name']}", "state": state} | shown


def _of_gate(run_json: dict[str, Any]) -> list[dict[str, Any]]:
    publish = run_json["settings"].get("publish", {})
    published = run_json["status"] == "published"
    return [
        {
            "name": name,
            "value": value,
            "limit": limit,
            "side": side,
            "state": GOOD if _is_within(value, limit, side) else WAIVED if published else BAD,
        }
        for name, value, limit, side in _figures(run_json, publish)
        if limit is not None
    ]


def _is_within(value: float, limit: float, side: str) -> bool:
    return value >= limit if side == AT_LEAST else value <= limit


def _figures(
    run_json: dict[str, Any], publish: dict[str, Any]
) -> Iterator[tuple[str, float, float | None, str]]:
    recall, gate = run_json["recall"], run_json["counts"].get("gate", {})
    if recall and recall["queries"]:
        yield "recall", recall["value"], min_recall(run_json["settings"]), AT_LEAST
    # The only item of a catalogue of one item can't have a neighbour.
    if gate.get("items_asked") and run_json["counts"].get("vectors") != 1:
        share = gate["items_without_neighbors"] / gate["items_asked"]
        yield "without", share, publish.get("max_without"), AT_MOST
    if gate.get("rows_before"):
        yield "rows", gate["rows"] / gate["rows_before"], publish.get("min_rows"), AT_LEAST
    if gate.get("items_before"):
        share = gate["items"] / gate["items_before"]
        yield "coverage", share, publish.get("min_coverage"), AT_LEAST
    if "churn" in gate:
        yield "churn", gate["churn"], publish.get("max_churn"), AT_MOST


def min_recall(settings: Mapping[str, Any]) -> float | None:
    """The recall below which the gate holds a run's table back, by the run's settings."""
    limit: float = settings.get("publish", {}).get("min_recall", -1.0)
    target: float | None = settings.get("neighbors", {}).get("target_recall")
    return target if limit < 0 else limit
