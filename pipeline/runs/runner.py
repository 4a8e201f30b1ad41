"""Running stages: what exists is reused, what is made is recorded, the run is written down."""

import re
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from models import ModelError
from pipeline import __version__
from pipeline.config.sections import Config
from pipeline.errors import GateError, NitamonoError, StageError, UsageError, cause
from pipeline.report import run_page
from pipeline.runs import pinned
from pipeline.runs.invalidation import explain_missing_output
from pipeline.stages import CHAIN, NAMES, incremental
from pipeline.stages.context import Job, Stage, StageResult, output_missing
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors
from pipeline.stages.publish import gate
from pipeline.stages.publish import stage as publish
from pipeline.stages.train import stage as train
from pipeline.storage import processes
from pipeline.storage.files import write_json
from pipeline.storage.paths import StoragePath
from pipeline.store import lock
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

DONE, REUSED = "done", "reused"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        run_id: its name.
        stages: name, status and record of each stage, in order.
        gate: what was measured before publishing, if the run came to it.
        version: the published version of the similar-item table, if it was published.
    """

    run_id: str
    stages: list[tuple[str, str, StageRecord]] = field(default_factory=list)
    gate: dict[str, Any] = field(default_factory=dict)
    version: str | None = None

    def record(self, stage: str) -> StageRecord | None:
        """The record of a stage, if the run came to it."""
        return next((record for name, _, record in self.stages if name == stage), None)


def new_run_id(now: datetime | None = None) -> str:
    """A run's name by the time of its start, in UTC, to the millisecond."""
    moment = datetime.now(UTC) if now is None else now
    return moment.strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def check_run_id(run_id: str) -> str:
    """The run's name, if it can be a folder's.

    Raises:
        UsageError: it can't.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"--run-id {run_id}: use letters, digits, '.', '_' and '-' only")
    return run_id


class Runner:
    """Runs stages of one job."""

    def __init__(
        self,
        config: Config,
        run_id: str,
        progress: Progress,
        *,
        publishing: bool = True,
        wait: float = 0.0,
        as_of_run: str = "",
        full: bool = False,
    ) -> None:
        """Open the store.

        Args:
            config: the whole config.
            run_id: the run's name.
            progress: where is said what happens.
            publishing: whether the pointers may move, and what later runs will use.
            wait: for another run that publishes, in seconds.
            as_of_run: an earlier run, whose catalogue and model are used.
            full: whether no stage may build on an earlier night.

        Raises:
            UsageError: the store can't be used, or the earlier run.
        """
        self._config = config
        self._store = Store.of(config)
        self._job = Job(config, self._store, run_id, publishing=publishing, full=full)
        self._job.announce = lambda: self._write("running")
        self._wait = wait
        self._earlier = pinned.pinned_records(self._store, as_of_run) if as_of_run else {}
        self._progress = progress
        self._started = datetime.now(UTC)
        self._only_trains = False
        self.outcome = Outcome(run_id)

    def plan(self, first: str, last: str, *, retrain: bool = False) -> list[tuple[str, str]]:
        """What `run` would do: for each stage, whether it would be reused or run, and why.

        Raises:
            UsageError: what comes before `first` is not in the store.
        """
        plan: list[tuple[str, str]] = []
        needed: str | None = None
        for stage in CHAIN[: NAMES.index(first)]:
            self._job.resolve(self._needed(stage))
        for stage in CHAIN[NAMES.index(first) : NAMES.index(last) + 1]:
            fresh = retrain and stage.NAME == train.NAME
            record = None if needed else self._existing(stage, fresh=fresh)
            if record is not None:
                self._job.resolve(record)
                plan.append((stage.NAME, f"reuse {record.fingerprint}, made by {record.run_id}"))
            else:
                why = f"after {needed}"
                if needed is None:
                    why = "--retrain" if fresh else explain_missing_output(self._job, stage)
                needed = needed or stage.NAME
                plan.append((stage.NAME, f"run: {why}"))
        return plan

    def run(self, first: str, last: str, *, retrain: bool = False) -> Outcome:
        """Run the stages from first to last; those before first must be in the store.

        Raises:
            NitamonoError: whatever ends the run; run.json says so too, but where another run holds
                the store's lock.
        """
        self._only_trains = first == last == train.NAME
        with self._reported(), self._locked() as held, self._written_down():
            self._resolve_before(first)
            for stage in CHAIN[NAMES.index(first) : NAMES.index(last) + 1]:
                fresh = stage.NAME == train.NAME and (retrain or self._only_trains)
                self._run_stage(stage, fresh=fresh)
                self._write("running")
            if last == publish.NAME and held is not None:
                retrained = retrain and NAMES.index(first) <= NAMES.index(train.NAME)
                self.outcome.version = self._publish(held, retrained=retrained)
        return self.outcome

    def _reported(self) -> AbstractContextManager[None]:
        most, say = self._config.report.map_items, self._progress.print
        return run_page.write_at_end(self._store, self._job.run_id, most, say)

    def _publish(self, held: lock.Lock, *, retrained: bool) -> str:
        measured = self._measure()
        self.outcome.gate = measured.counts()
        held.check()
        return publish.pass_gate_and_publish(self._job, measured, retrained=retrained)

    def _measure(self) -> gate.Measurements:
        if not gate.needs_spark(self._job):
            return gate.measure(self._job)
        with self._progress.stage("      the gate") as line:
            self._job.line = line
            with _explained("publish", self._job):
                measured = gate.measure(self._job)
            if measured.change:
                line.note = f"{measured.change.churn:.1%} of the neighbours replaced"
        return measured

    def _locked(self) -> AbstractContextManager[lock.Lock | None]:
        if not self._job.publishing:
            return nullcontext()
        run_id, say = self._job.run_id, self._progress.print
        return lock.hold_store(self._store, f"run {run_id}", wait=self._wait, say=say)

    def _resolve_before(self, first: str) -> None:
        for stage in CHAIN[: NAMES.index(first)]:
            if not self._reuse(stage.NAME, self._needed(stage)):
                raise output_missing(stage.NAME)

    def _needed(self, stage: Stage) -> StageRecord:
        record = self._existing(stage, fresh=False)
        if record is None:
            raise output_missing(stage.NAME)
        return record

    def _run_stage(self, stage: Stage, *, fresh: bool) -> None:
        number = f"[{NAMES.index(stage.NAME) + 1}/{len(NAMES)}]"
        record = self._existing(stage, fresh=fresh)
        if record is not None and self._reuse(stage.NAME, record):
            self._progress.print(f"{number} {stage.NAME:<10}  already done by run {record.run_id}")
            return
        version, inputs = self._job.fingerprint(stage)
        with self._progress.stage(f"{number} {stage.NAME}") as line:
            self._job.line = line
            with _explained(stage.NAME, self._job):
                made = stage.execute(self._job, version)
            line.note = self._summary(made)
        record = StageRecord(
            stage=stage.NAME,
            fingerprint=version,
            run_id=self._job.run_id,
            inputs=inputs,
            tables=made.tables,
            counts=made.counts,
            outputs=made.outputs,
            seconds=round(line.seconds, 3),
        )
        self._store.write_record(record)
        self._resolve(stage.NAME, DONE, record)
        self._hand_on(record)

    def _summary(self, made: StageResult) -> str:
        if not made.tables:
            return (
                f"model of {made.outputs['dim']} dimensions, {made.counts['model_bytes']:,} bytes"
            )
        rows = ", ".join(f"{table} {count:,} rows" for table, count in made.tables.items())
        why = made.outputs.get("why")
        said = [record.outputs.get("why") for _, _, record in self.outcome.stages]
        # Of the first night, and of what was said before, nothing is to be said.
        if not why or why in said or why == incremental.FIRST:
            return rows
        return f"{rows} (all of them: {why})"

    def _reuse(self, name: str, record: StageRecord) -> bool:
        """Take up an earlier output; False where it has just been collected.

        gc removes a record first, then looks what runs under way have said that they use. So it is
        said first, and then looked whether the record is still there.
        """
        self._resolve(name, REUSED, record)
        self._write("running")
        if self._store.find_record(name, record.fingerprint) is None:
            if name in self._earlier:
                raise StageError(f"{name}: what --as-of names is being collected by nitamono gc")
            self.outcome.stages.pop()
            return False
        self._hand_on(record)
        return True

    def _hand_on(self, record: StageRecord) -> None:
        """Let later runs use the model or the quantiser, if this run publishes or only trains."""
        if record.stage in self._earlier or not (self._job.publishing or self._only_trains):
            return
        if record.stage == train.NAME and "tokens" in record.inputs:
            definition = train.model_definition(record.inputs)
            key = train.model_key(definition, record.outputs["text_fingerprint"])
            if self._store.current_model(key) != record:
                self._store.set_current_model(key, record.fingerprint)
        elif record.stage == index.NAME:
            current_quantiser.adopt(self._job, record)
        elif record.stage == neighbors.NAME:
            current_quantiser.record_nprobe(self._job, record)

    def _resolve(self, name: str, status: str, record: StageRecord) -> None:
        self._job.resolve(record)
        self.outcome.stages.append((name, status, record))

    def _existing(self, stage: Stage, *, fresh: bool) -> StageRecord | None:
        if stage.NAME in self._earlier:
            return self._earlier[stage.NAME]
        if stage.NAME == train.NAME and not fresh:
            current = train.reusable_model(self._job)
            if current is not None:
                return current
        version, _ = self._job.fingerprint(stage)
        return self._store.find_record(stage.NAME, version)

    @contextmanager
    def _written_down(self) -> Iterator[None]:
        self._write("running")
        try:
            yield
        except GateError as error:
            self._write("held_back", str(error))
            raise
        except (NitamonoError, KeyboardInterrupt) as error:
            self._write_failure(str(error) or type(error).__name__)
            raise
        except Exception as error:
            message = f"{self._job.explained(error)}; more is in {_keep_traceback(self._job)}"
            self._write_failure(message)
            raise StageError(message) from error
        finally:
            self._job.stop()
        try:
            self._write("published" if self.outcome.version else "done")
        except OSError as error:
            if not self.outcome.version:
                raise
            # What is published is published.
            self._progress.print(f"published, but run.json can't be written: {cause(error)}")

    def _write_failure(self, message: str) -> None:
        # Where the disk is full the cause still has to be told.
        with suppress(OSError):
            self._write("failed", message)

    def _write(self, status: str, message: str = "") -> None:
        found = self.outcome.record("neighbors")
        counts: dict[str, Any] = {}
        for _, _, record in self.outcome.stages:
            counts |= record.counts
        if self.outcome.gate:
            counts["gate"] = self.outcome.gate
        write_json(
            self._store.run_path(self._job.run_id) / "run.json",
            {
                "run_id": self._job.run_id,
                "status": status,
                "message": message,
                "nitamono": __version__,
                "started": self._started.isoformat(),
                "process": asdict(processes.current_process()),
                "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 3),
                "settings": self._config.model_dump(),
                "counts": counts,
                "recall": found.outputs["recall"] if found else None,
                "uses": sorted(self._job.used),
                "fingerprints": {name: r.fingerprint for name, _, r in self.outcome.stages},
                "stages": [
                    {
                        "stage": name,
                        "status": state,
                        "seconds": r.seconds,
                        "made_by": r.run_id,
                        "built_on": r.outputs.get("base"),
                        "why_full": r.outputs.get("why") or None,
                    }
                    for name, state, r in self.outcome.stages
                ],
                "published": self._store.latest() if self.outcome.version else None,
            },
        )


@contextmanager
def _explained(stage: str, job: Job) -> Iterator[None]:
    """Turn what Spark, the model or the disk raise into a StageError that says the cause."""
    try:
        yield
    except NitamonoError:
        raise
    except ModelError as error:
        raise StageError(f"{stage}: {error}") from error
    except Exception as error:
        folder = _keep_traceback(job).parent
        raise StageError(f"{stage} failed: {job.explained(error)}. More is in {folder}") from error


def _keep_traceback(job: Job) -> StoragePath:
    file = job.store.run_path(job.run_id) / "error.txt"
    # Where the disk is full the cause still has to be told.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc(), encoding="utf-8")
    return file
