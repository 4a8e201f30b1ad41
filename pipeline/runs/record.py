"""The record of a run: its id, its outcome, and run.json, which only this module writes.

`pipeline.store.run_records` reads it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Thread
from typing import Any

from pipeline import __version__
from pipeline.errors import GateError, NitamonoError, StageError, cause
from pipeline.redaction import mask, mask_settings
from pipeline.stages.context import Job
from pipeline.stages.ingest.expectations import Expectation
from pipeline.storage.file_owners import current_process
from pipeline.storage.files import write_json
from pipeline.storage.tracebacks import write_traceback
from pipeline.store import run_records
from pipeline.store.stage_record import StageRecord
from pipeline.terminal.progress import Progress

# The status of a stage: run by this run, or its output was there already.
DONE, REUSED = "done", "reused"


def new_run_id(now: datetime | None = None) -> str:
    """A run's id: the time of its start in UTC, to the millisecond."""
    moment = datetime.now(UTC) if now is None else now
    return moment.strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


@dataclass
class Outcome:
    """The outcome of a run, so far.

    Attributes:
        run_id: the run's id.
        stages: name, status and record of each stage, in order; those of a variant b are named
            STAGE@b.
        written_bytes: the size of what each stage that this run computed has written.
        table_bytes: the size of the similar-item table; those of variants by their names, "" being
            the table itself.
        expectations: what [expect] limits, each with its value; empty if the run did not get there.
        gate: what the gate measured; empty if the run did not get there.
        variant_gates: what it measured of each variant.
        version: the version of the similar-item table that the run published; None if none.
    """

    run_id: str
    stages: list[tuple[str, str, StageRecord]] = field(default_factory=list)
    written_bytes: dict[str, int] = field(default_factory=dict)
    table_bytes: dict[str, int] = field(default_factory=dict)
    expectations: list[Expectation] = field(default_factory=list)
    gate: dict[str, Any] = field(default_factory=dict)
    variant_gates: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: str | None = None

    def record(self, stage: str) -> StageRecord | None:
        """The record of a stage; None if the run did not get there."""
        return next((record for name, _, record in self.stages if name == stage), None)

    def counts(self) -> dict[str, Any]:
        """The counts of all stages, the `expectations`, and what the gate measured under `gate`."""
        counts: dict[str, Any] = {}
        variants: dict[str, dict[str, Any]] = {}
        for name, _, record in self.stages:
            stage, _, variant = name.partition("@")
            own = variants.setdefault(variant, {}) if variant else counts
            own |= record.counts
            if variant and stage == "neighbors":
                own["recall"] = record.outputs["recall"]
            if stage == "publish":
                own["table_bytes"] = self.table_bytes[variant]
        for variant, measured in self.variant_gates.items():
            variants[variant]["gate"] = measured
        if self.stages:
            counts["written_bytes"] = sum(self.written_bytes.values())
        if self.expectations:
            counts["expectations"] = [one.counts() for one in self.expectations]
        counts |= {"gate": self.gate} if self.gate else {}
        return counts | ({"variants": variants} if variants else {})


class RunRecorder:
    """Writes run.json: when the run begins, after each stage, and when the run ends."""

    def __init__(self, job: Job, outcome: Outcome, progress: Progress) -> None:
        """Note the time of the run's start.

        Args:
            job: the run's job.
            outcome: is read each time that run.json is written.
            progress: prints what can't be written.
        """
        self._job, self._outcome, self._progress = job, outcome, progress
        self._started = datetime.now(UTC)
        self._stopping: Thread | None = None

    @contextmanager
    def stopping_spark(self) -> Iterator[None]:
        """Wait in the end until the Spark session has stopped."""
        try:
            yield
        finally:
            if self._stopping is not None:
                self._stopping.join()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the run from its start to its end; then its Spark session begins to stop.

        Raises:
            StageError: an error that is no NitamonoError; its traceback is in the run's folder.
        """
        self.write()
        try:
            yield
        except GateError as error:
            self.write(run_records.HELD_BACK, str(error))
            raise
        except (NitamonoError, KeyboardInterrupt) as error:
            self._write_failure(str(error) or type(error).__name__)
            raise
        except Exception as error:
            file = write_traceback(self._job.store.run_path(self._job.run_id))
            message = f"{self._job.explain_error(error)}; more is in {file}"
            self._write_failure(message)
            raise StageError(message) from error
        finally:
            # It takes a second, in which the run's page is written.
            self._stopping = Thread(target=self._job.stop)
            self._stopping.start()
        try:
            self.write(run_records.PUBLISHED if self._outcome.version else run_records.DONE)
        except OSError as error:
            if not self._outcome.version:
                raise
            # The table is published: the run must not end as a failed one.
            self._progress.print(f"published, but run.json can't be written: {cause(error)}")

    def _write_failure(self, message: str) -> None:
        # If the disk is full, the user must still be told why the run failed.
        with suppress(OSError):
            self.write(run_records.FAILED, message)

    def write(self, status: str = run_records.RUNNING, message: str = "") -> None:
        """Write run.json with what the outcome is now.

        Raises:
            OSError: it can't be written.
        """
        job, outcome = self._job, self._outcome
        neighbors = outcome.record("neighbors")
        write_json(
            job.store.run_path(job.run_id) / "run.json",
            {
                "run_id": job.run_id,
                "status": status,
                "message": mask(message),
                "publishing": job.publishing,
                "nitamono": __version__,
                "started": self._started.isoformat(),
                "process": asdict(current_process()),
                "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 3),
                "settings": mask_settings(job.config.model_dump()),
                "counts": outcome.counts(),
                "recall": neighbors.outputs["recall"] if neighbors else None,
                "uses": sorted(job.used_versions),
                "fingerprints": {name: record.fingerprint for name, _, record in outcome.stages},
                "stages": [_stage_entry(*stage) for stage in outcome.stages],
                "published": job.store.latest() if outcome.version else None,
            },
        )


def _stage_entry(name: str, status: str, record: StageRecord) -> dict[str, Any]:
    return {
        "stage": name,
        "status": status,
        "seconds": record.seconds,
        "made_by": record.run_id,
        "built_on": record.outputs.get("base"),
        "why_full": record.outputs.get("why") or None,
    }
