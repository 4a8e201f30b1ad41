"""Running stages: what exists is reused, what is made is recorded, the run is written down."""

import re
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models import ModelError
from pipeline import __version__, as_of, lasting, lock, processes, publication
from pipeline.errors import GateError, NitamonoError, StageError, UsageError
from pipeline.files import write_json
from pipeline.job import Job, Made, Stage
from pipeline.progress import Progress
from pipeline.sections import Config
from pipeline.stages import CHAIN, NAMES, index, publish, train
from pipeline.store import Record, Store

DONE, REUSED = "done", "reused"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LAST_ERROR = re.compile(r"^([\w.]+(?:Error|Exception|Interrupt)): (.+)$", re.M)


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        run_id: its name.
        stages: name, status and record of each stage, in order.
        version: the published version of the similar-item table, if it was published.
    """

    run_id: str
    stages: list[tuple[str, str, Record]] = field(default_factory=list)
    version: str | None = None

    def record(self, stage: str) -> Record | None:
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
    ) -> None:
        """Open the store.

        Args:
            config: the settings.
            run_id: the run's name.
            progress: is told what happens.
            publishing: whether the pointers may move, and what later runs will use.
            wait: for another run that publishes, in seconds.
            as_of_run: an earlier run, whose catalogue and model are used.

        Raises:
            UsageError: the store can't be used, or the earlier run.
        """
        self._config = config
        self._store = Store(config.store.path)
        self._job = Job(config, self._store, run_id, publishing=publishing)
        self._wait = wait
        self._earlier = as_of.records(self._store, as_of_run) if as_of_run else {}
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
        missing: str | None = None
        self._resolve_before(first)
        for stage in CHAIN[NAMES.index(first) : NAMES.index(last) + 1]:
            fresh = retrain and stage.NAME == train.NAME
            record = None if missing else self._existing(stage, fresh=fresh)
            if record is not None:
                self._job.resolve(record)
                plan.append((stage.NAME, f"reuse {record.fingerprint}, made by {record.run_id}"))
            else:
                why = f"{missing} comes first" if missing else "not in the store"
                missing = missing or stage.NAME
                plan.append((stage.NAME, f"run: {why}"))
        return plan

    def run(self, first: str, last: str, *, retrain: bool = False) -> Outcome:
        """Run the stages from first to last; those before first must be in the store.

        Raises:
            NitamonoError: whatever ends the run; run.json says so too, but where another run holds
                the store's lock.
        """
        self._only_trains = first == last == train.NAME
        with self._locked() as held, self._written_down():
            self._resolve_before(first)
            for _, _, record in self.outcome.stages:
                self._hand_on(record)
            for stage in CHAIN[NAMES.index(first) : NAMES.index(last) + 1]:
                fresh = stage.NAME == train.NAME and (retrain or self._only_trains)
                self._run_stage(stage, fresh=fresh)
                self._write("running")
            if last == publish.NAME and held is not None:
                held.check()
                with publication.undone_unless_finished(self._store):
                    self.outcome.version = publish.finish(self._job)
        return self.outcome

    def _locked(self) -> AbstractContextManager[lock.Lock | None]:
        if not self._job.publishing:
            return nullcontext()
        run_id, say = self._job.run_id, self._progress.say
        return lock.held(self._store, run_id, wait=self._wait, say=say)

    def _resolve_before(self, first: str) -> None:
        for stage in CHAIN[: NAMES.index(first)]:
            record = self._existing(stage, fresh=False)
            self._resolve(stage.NAME, REUSED, record or self._job.record(stage.NAME))

    def _run_stage(self, stage: Stage, *, fresh: bool) -> None:
        number = f"[{NAMES.index(stage.NAME) + 1}/{len(NAMES)}]"
        record = self._existing(stage, fresh=fresh)
        if record is not None:
            self._progress.say(f"{number} {stage.NAME:<10}  already done by run {record.run_id}")
            self._resolve(stage.NAME, REUSED, record)
            self._hand_on(record)
            return
        version, inputs = self._job.fingerprint(stage)
        with self._progress.stage(f"{number} {stage.NAME}") as line:
            self._job.line = line
            with _explained(stage.NAME, self._job):
                made = stage.execute(self._job, version)
            line.note = _summary(made)
        record = Record(
            stage=stage.NAME,
            fingerprint=version,
            run_id=self._job.run_id,
            inputs=inputs,
            tables=made.tables,
            counts=made.counts,
            outputs=made.outputs,
            seconds=round(line.seconds, 3),
        )
        self._store.keep(record)
        self._resolve(stage.NAME, DONE, record)
        self._hand_on(record)

    def _hand_on(self, record: Record) -> None:
        """Let later runs use the model or the quantiser, if this run publishes or only trains."""
        if record.stage in self._earlier or not (self._job.publishing or self._only_trains):
            return
        if record.stage == train.NAME and "training" in record.inputs:
            key = train.settings_key(self._job)
            if self._store.current_model(key) != record:
                self._store.set_current_model(key, record.fingerprint)
        elif record.stage == index.NAME:
            lasting.adopt(self._job, record)

    def _resolve(self, name: str, status: str, record: Record) -> None:
        self._job.resolve(record)
        self.outcome.stages.append((name, status, record))

    def _existing(self, stage: Stage, *, fresh: bool) -> Record | None:
        if stage.NAME in self._earlier:
            return self._earlier[stage.NAME]
        if stage.NAME == train.NAME and not fresh:
            current = train.reusable(self._job)
            if current is not None:
                return current
        version, _ = self._job.fingerprint(stage)
        return self._store.find(stage.NAME, version)

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
            message = f"{_cause(error)}; more is in {_keep_traceback(self._job)}"
            self._write_failure(message)
            raise StageError(message) from error
        finally:
            self._job.stop()
        self._write("published" if self.outcome.version else "done")

    def _write_failure(self, message: str) -> None:
        # Where the disk is full the cause still has to be told.
        with suppress(OSError):
            self._write("failed", message)

    def _write(self, status: str, message: str = "") -> None:
        found = self.outcome.record("neighbors")
        counts: dict[str, Any] = {}
        for _, _, record in self.outcome.stages:
            counts |= record.counts
        write_json(
            self._store.run_path(self._job.run_id) / "run.json",
            {
                "run_id": self._job.run_id,
                "status": status,
                "message": message,
                "nitamono": __version__,
                "started": self._started.isoformat(),
                "process": asdict(processes.me()),
                "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 3),
                "settings": self._config.model_dump(),
                "counts": counts,
                "recall": found.outputs["recall"] if found else None,
                "fingerprints": {name: r.fingerprint for name, _, r in self.outcome.stages},
                "stages": [
                    {"stage": name, "status": state, "seconds": r.seconds, "made_by": r.run_id}
                    for name, state, r in self.outcome.stages
                ],
                "published": self._store.latest() if self.outcome.version else None,
            },
        )


def _summary(made: Made) -> str:
    if made.tables:
        return ", ".join(f"{table} {rows:,} rows" for table, rows in made.tables.items())
    return f"model of {made.outputs['dim']} dimensions, {made.counts['model_bytes']:,} bytes"


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
        raise StageError(f"{stage} failed: {_cause(error)}. More is in {folder}") from error


def _keep_traceback(job: Job) -> Path:
    file = job.store.run_path(job.run_id) / "error.txt"
    # Where the disk is full the cause still has to be told.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc(), encoding="utf-8")
    return file


def _cause(error: Exception) -> str:
    """The innermost message that a chain of Java and Python exceptions tells of."""
    text = str(error)
    if "No space left on device" in text:
        return "the disk is full (No space left on device); free some, or move store.path"
    found = _LAST_ERROR.findall(text)
    if found:
        name, message = found[-1]
        return f"{name.rsplit('.', 1)[-1]}: {message[:500]}"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
