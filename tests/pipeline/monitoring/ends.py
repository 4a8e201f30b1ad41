"""Runs made by hand, as receivers are told of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.monitoring.run_events import RunEnd, RunStart
from tests.pipeline.report import handmade

STARTED = datetime(2026, 11, 1, 1, 2, 3, tzinfo=UTC)


def config(**sections: Any) -> Config:
    """A config with these sections."""
    needed = {"store": {"path": "/data/store"}, "catalogue": {"path": "/data/items.csv"}}
    return reading.from_mapping(needed | sections)


def start(part: str = "", **sections: Any) -> RunStart:
    """The start of a run."""
    return RunStart(handmade.RUN, config(**sections), part, STARTED)


def end(run: dict[str, Any] | None = None, **changes: Any) -> RunEnd:
    """The end of a run that published, 83.5 s after its start."""
    fields: dict[str, Any] = {
        "start": start(),
        "time": STARTED + timedelta(seconds=83.5),
        "exit_code": 0,
        "status": "published",
        "run": full_run() if run is None else run,
        "page": "/data/store/runs/night7/report.html",
        "published": STARTED + timedelta(seconds=80),
    }
    return RunEnd(**fields | changes)


def full_run() -> dict[str, Any]:
    """run.json of a run with a variant named b."""
    run = handmade.run_json()
    run["settings"]["catalogue"] = config().catalogue.model_dump()
    quarantined = {"name": "quarantined", "value": 0.05, "limit": 0.05, "side": "most"}
    quarantined |= {"unit": "share", "column": "", "met": True}
    nulls = {"name": "null", "value": 0.5, "limit": 0.1, "side": "most", "met": False}
    run["counts"]["expectations"] = [quarantined, nulls | {"unit": "share", "column": "brand"}]
    run["counts"] |= {"table_bytes": 12345, "written_bytes": 23456}
    run["fingerprints"] = {"publish": handmade.VERSION, "publish@b": "b" * 16}
    run["counts"]["variants"] = {
        "b": {
            "rows": 280,
            "table_bytes": 678,
            "recall": run["recall"] | {"value": 0.5},
            "quality": {"coverage": 0.4},
        }
    }
    return run
