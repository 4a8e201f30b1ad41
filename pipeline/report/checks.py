"""A run's figures against the gate's limits, for its page."""

from collections.abc import Iterator
from typing import Any

GOOD, BAD, WAIVED = "good", "bad", "waived"


def checks(about: dict[str, Any]) -> list[dict[str, Any]]:
    """Each figure that the gate looks at: name, value, limit, side, state.

    `side` says whether the limit is the least or the most; `state` is good, bad, or waived: beyond
    the limit, and published all the same, because the run was told to.

    Args:
        about: run.json.
    """
    publish = about["settings"].get("publish", {})
    published = about["status"] == "published"
    return [
        {
            "name": name,
            "value": value,
            "limit": limit,
            "side": side,
            "state": GOOD if _within(value, limit, side) else WAIVED if published else BAD,
        }
        for name, value, limit, side in _figures(about, publish)
        if limit is not None
    ]


def _within(value: float, limit: float, side: str) -> bool:
    return value >= limit if side == "least" else value <= limit


def _figures(
    about: dict[str, Any], publish: dict[str, Any]
) -> Iterator[tuple[str, float, float | None, str]]:
    recall, gate = about["recall"], about["counts"].get("gate", {})
    if recall and recall["queries"]:
        yield "recall", recall["value"], least_recall(about), "least"
    # In a catalogue of one item nothing is wrong with its having no neighbour.
    if gate.get("items_asked") and about["counts"].get("vectors") != 1:
        without = gate["items_without_neighbors"] / gate["items_asked"]
        yield "without", without, publish.get("max_without"), "most"
    if gate.get("rows_before"):
        yield "rows", gate["rows"] / gate["rows_before"], publish.get("min_rows"), "least"
    if gate.get("items_before"):
        share = gate["items"] / gate["items_before"]
        yield "coverage", share, publish.get("min_coverage"), "least"
    if "churn" in gate:
        yield "churn", gate["churn"], publish.get("max_churn"), "most"


def least_recall(about: dict[str, Any]) -> float | None:
    """The recall below which the gate holds a run's table back."""
    settings = about["settings"]
    least: float = settings.get("publish", {}).get("min_recall", -1.0)
    target: float | None = settings.get("neighbors", {}).get("target_recall")
    return target if least < 0 else least
