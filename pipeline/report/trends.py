"""Trends: the figures of a store's last runs, run by run, for a terminal and for a page."""

from dataclasses import dataclass
from typing import Any

from pipeline.report import checks
from pipeline.store import run_records
from pipeline.store.run_records import Run
from pipeline.store.store import Store

# How many runs the page shows: its size, and what is read for it, have a bound.
MAX_RUNS = 90


@dataclass(frozen=True)
class Figures:
    """The figures of one run; None where the run did not measure one.

    Attributes:
        run_id: the run's id.
        started: when it started, in UTC, ISO 8601.
        status: as `nitamono runs` has it.
        message: why it failed or was held back.
        publishing: whether it was to publish.
        seconds: how long it took.
        stages: seconds of each stage that the run computed itself; those of a variant b are under
            STAGE@b.
        recall: the recall; recall_low and recall_high are its 95% interval.
        churn: the share of neighbours that were replaced since the version before.
        coverage: the share of items that have neighbours.
        items: the catalogue's good rows.
        rows: rows of the similar-item table.
        table_bytes: size of its files.
        written_bytes: size of all that the run wrote: tables, and a model if it trained one.
        quarantined: the share of the catalogue's rows that are in quarantine.
        min_recall, max_churn, max_quarantined: the limits of the gate and of [expect] in this run.
    """

    run_id: str
    started: str
    status: str
    message: str
    publishing: bool
    seconds: float
    stages: dict[str, float]
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    churn: float | None
    coverage: float | None
    items: int | None
    rows: int | None
    table_bytes: int | None
    written_bytes: int | None
    quarantined: float | None
    min_recall: float | None
    max_churn: float | None
    max_quarantined: float | None

    @property
    def is_experiment(self) -> bool:
        """Whether the run was no night: an experiment, or a part of the stages."""
        return self.status == run_records.DONE or not self.publishing


def figures(run: Run) -> Figures:
    """The figures of a run."""
    counts, measured = run.counts, run.measured or {}
    publish = run.settings.get("publish", {})
    read = counts.get("rows_read")
    return Figures(
        run_id=run.run_id,
        started=run.started,
        status=run.status,
        message=run.message,
        publishing=run.publishing,
        seconds=run.seconds,
        stages={one["stage"]: one["seconds"] for one in run.stages if one["status"] == "done"},
        recall=measured.get("value"),
        recall_low=measured.get("low"),
        recall_high=measured.get("high"),
        churn=counts.get("gate", {}).get("churn"),
        coverage=(counts.get("quality") or {}).get("coverage"),
        items=counts.get("items"),
        rows=counts.get("rows"),
        table_bytes=counts.get("table_bytes"),
        written_bytes=counts.get("written_bytes"),
        quarantined=counts["quarantined"] / read if read and "quarantined" in counts else None,
        min_recall=checks.min_recall(run.settings),
        max_churn=publish.get("max_churn"),
        max_quarantined=run.settings.get("expect", {}).get("max_quarantined"),
    )


def of_store(store: Store, last: int = MAX_RUNS) -> list[Figures]:
    """The figures of the last runs, the oldest first. Only so many run.json are read."""
    return [figures(run) for run in reversed(run_records.list_runs(store, last=last))]


def shown(one: Figures) -> dict[str, Any]:
    """The figures that `nitamono runs --last N --json` adds to those of a run."""
    names = (
        *("stages", "recall_low", "recall_high", "churn", "coverage", "rows", "quarantined"),
        *("table_bytes", "written_bytes"),
    )
    return {name: getattr(one, name) for name in names}
