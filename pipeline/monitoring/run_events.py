"""The events of a run that receivers are told: its start and its end."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.config.sections import Config
from pipeline.store import run_records

PUBLISH = "publish"


@dataclass(frozen=True)
class RunStart:
    """A run has started.

    Attributes:
        run_id: the run's id.
        config: the whole config; its catalogue may still have {date} in its path.
        part: the stages of a run that is a part of the chain, for instance ingest or
            ingest-train; empty for a run of all stages.
        time: of the start, in UTC.
    """

    run_id: str
    config: Config
    part: str
    time: datetime


@dataclass(frozen=True)
class RunEnd:
    """A run has ended.

    Attributes:
        start: the start of the run.
        time: of the end, in UTC.
        exit_code: the command's exit code.
        status: published, done, held_back or failed.
        message: why it failed or was held back.
        run: what run.json holds; empty if the run failed before it had one.
        page: where the run's page is; empty if there is none.
        published: when the version that LATEST names was published; None if that is not known.
    """

    start: RunStart
    time: datetime
    exit_code: int
    status: str
    message: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    page: str = ""
    published: datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run did what it was to do."""
        return self.exit_code == 0

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return round((self.time - self.start.time).total_seconds(), 3)

    @property
    def counts(self) -> dict[str, Any]:
        """The counts of its stages."""
        counts: dict[str, Any] = self.run.get("counts", {})
        return counts

    @property
    def recall(self) -> dict[str, Any] | None:
        """Its measured recall; None if it was not measured."""
        return measured(self.run.get("recall"))

    @property
    def churn(self) -> float | None:
        """The share of the neighbours that it replaced; None if it was not measured."""
        churn: float | None = self.counts.get("gate", {}).get("churn")
        return churn

    @property
    def version(self) -> str | None:
        """The version of its similar-item table, published or not; None if it made none."""
        version: str | None = self.run.get("fingerprints", {}).get(PUBLISH)
        return version

    @property
    def stage_seconds(self) -> dict[str, float]:
        """The seconds of each stage that it came to; 0 if another run had made its output."""
        # A run by stages has one id; what was made under it is its own.
        return {
            entry["stage"]: entry["seconds"] if entry["made_by"] == self.start.run_id else 0.0
            for entry in self.run.get("stages", [])
        }

    def numbers(self) -> dict[str, Any]:
        """The most important numbers, for the log and for notices; only those that are known."""
        numbers = {
            "items": self.counts.get("items"),
            "quarantined": self.counts.get("quarantined"),
            "recall": self.recall and self.recall["value"],
            "coverage": self.counts.get("quality", {}).get("coverage"),
            "churn": self.churn,
            "version": self.version if self.status == run_records.PUBLISHED else None,
        }
        return {name: value for name, value in numbers.items() if value is not None}


def measured(recall: dict[str, Any] | None) -> dict[str, Any] | None:
    """A recall; None if no query was asked to measure it."""
    return recall if recall and recall["queries"] else None
