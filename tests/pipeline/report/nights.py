"""Stores with many runs made by hand, for tests of their trends."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from typing import Any

from pipeline.storage.files import write_json
from pipeline.store.store import Store
from tests.pipeline.report import handmade

FIRST = datetime(2026, 10, 1, 1, 30, tzinfo=UTC)


def night(number: int, **changes: Any) -> dict[str, Any]:
    """The run.json of a night, counted from 1; its figures differ from night to night."""
    content = deepcopy(handmade.run_json())
    counts, items = content["counts"], 50_000 + 130 * number
    counts |= {"rows_read": items + 40, "items": items, "quarantined": 40, "rows": 10 * items - 77}
    counts |= {"table_bytes": 59 * items, "written_bytes": 3_000_000 + 40_000_000 * (number == 1)}
    counts["gate"]["churn"] = round(0.02 + 0.01 * sin(number), 4)
    counts["quality"]["coverage"] = round(0.982 + 0.002 * sin(number / 3), 4)
    recall = round(0.985 + 0.004 * sin(number * 2), 4)
    content["recall"] |= {"value": recall, "low": recall - 0.006, "high": recall + 0.004}
    for stage, seconds in zip(content["stages"], (14, 20, 0, 31, 12, 60, 25), strict=True):
        stage["seconds"] = seconds + 3 * sin(number)
    content |= {
        "run_id": f"night{number:03d}",
        "started": (FIRST + timedelta(days=number)).isoformat(),
        "seconds": 205.0 + 9 * sin(number),
    }
    return content | changes


def failed(number: int) -> dict[str, Any]:
    """The run.json of a night that had no catalogue."""
    return night(
        number, status="failed", message="catalogue.path /x.csv: no such file", counts={},
        recall=None, stages=[], fingerprints={}, published=None, seconds=2.5,
    )  # fmt: skip


def held_back(number: int) -> dict[str, Any]:
    """The run.json of a night that replaced too many neighbours."""
    content = night(number, status="held_back", message="the table is held back", published=None)
    content["counts"]["gate"]["churn"] = 0.61
    return content


def make_store(folder: Path, runs: list[dict[str, Any]], pages: bool = True) -> Store:
    """A store with these runs."""
    store = Store(str(folder / "store"))
    for content in runs:
        path = store.run_path(content["run_id"])
        write_json(path / "run.json", content)
        if pages:
            (path / "report.html").write_text(f"<h1>{content['run_id']}</h1>")
    return store
