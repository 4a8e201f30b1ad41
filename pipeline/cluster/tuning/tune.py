"""Tuning: the stages before embed are made or reused, then setups are tried on the cluster."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.cluster.sizing.memory_size import readable
from pipeline.cluster.tuning import conf, page
from pipeline.cluster.tuning.failures import reason
from pipeline.cluster.tuning.search import Setup, Trial, best, search
from pipeline.cluster.tuning.trial import Request
from pipeline.config.sections import Config
from pipeline.errors import StageError, UsageError
from pipeline.runs.runner import Runner, new_run_id
from pipeline.spark import session
from pipeline.spark.log import SparkLog
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.train import stage as train
from pipeline.storage.files import read_json, write_json, write_whole
from pipeline.storage.place import Place
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

CONF_NAME, PAGE_NAME = "spark.conf", "tune.html"
_SUBMITTED = "PYSPARK_GATEWAY_PORT"


@dataclass(frozen=True)
class Asked:
    """What is to be tried.

    Attributes:
        cores: of a node.
        memory: MiB of a node, for executors.
        nodes: how many.
        sample: items to embed, about.
        timeout: seconds of a trial at most.
        out: the file of the winner's settings; None: in the run's folder.
    """

    cores: int
    memory: float
    nodes: int
    sample: int
    timeout: float
    out: Path | None


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Attributes:
        run_id: of the run.
        items: that each trial embedded, about.
        trials: in order.
        winner: the best; None if all failed.
        conf: its file.
        page: the curve.
    """

    run_id: str
    items: int
    trials: list[Trial]
    winner: Trial | None
    conf: Place
    page: Place


def tune(settings: Config, asked: Asked, progress: Progress) -> Tuned:
    """Search for the best setup. Nothing is published or made current.

    Raises:
        UsageError: spark-submit was called, the master is local, or --out can't be written.
        InputError: the catalogue can't be used.
        StageError: a stage before embed fails, or every setup.
    """
    if _SUBMITTED in os.environ:
        raise UsageError(
            "tune: starts Spark anew for each trial, which spark-submit does not allow; call "
            "nitamono itself, with spark.master in the config"
        )
    master = session.settings(settings.spark)["spark.master"]
    if master.startswith("local"):
        raise UsageError(
            f"tune: spark.master is {master}, which has no executors to vary; give a cluster's, "
            "spark://... for instance, or ask nitamono size"
        )
    run_id, store = new_run_id(), Store.of(settings)
    stages = Runner(settings, run_id, progress, publishing=False).run(ingest.NAME, train.NAME)
    tokens = stages.record("tokenize")
    total = tokens.tables["tokens"] if tokens else 0
    items = min(asked.sample, total)
    prints = {name: record.fingerprint for name, _, record in stages.stages}
    trials = _Trials(settings, store, run_id, asked, prints, progress)
    found = search(asked.cores, asked.memory, trials.measure)
    folder = store.run_path(run_id)
    made = Tuned(run_id, items, found, best(found), asked.out or folder / CONF_NAME,
                 folder / PAGE_NAME)  # fmt: skip
    _write_down(made, folder, asked)
    if made.winner is None:
        raise StageError(f"tune: no setup came through; the first: {found[0].why}. See {made.page}")
    return made


class _Trials:
    """Tries setups, each in a process of its own."""

    def __init__(
        self,
        settings: Config,
        store: Store,
        run_id: str,
        asked: Asked,
        prints: dict[str, str],
        progress: Progress,
    ) -> None:
        self._settings, self._store, self._run_id = settings, store, run_id
        self._asked, self._prints, self._progress = asked, prints, progress
        self._count = 0

    def measure(self, setup: Setup) -> Trial:
        """Try one."""
        self._count += 1
        title = f"trial {self._count}: {setup.executors} x {setup.cores} cores, "
        title += readable(setup.memory)
        version = self._store.trial("tune")
        with self._progress.stage(title) as line:
            try:
                found = self._result(setup, version)
            finally:
                self._store.discard("embeddings", version)
            line.note = f"{found['seconds']} s" if "seconds" in found else f"failed: {found['why']}"
        return Trial(setup, found.get("seconds"), found.get("why", ""))

    def _result(self, setup: Setup, version: str) -> dict[str, Any]:
        folder = self._store.run_path(self._run_id)
        log = SparkLog(folder / f"trial-{self._count}.log")
        spark = conf.in_trial(self._settings.spark, setup, self._asked.nodes)
        with tempfile.TemporaryDirectory(prefix="nitamono-tune-") as room:
            result = Path(room) / "result.json"
            request = Request(
                config=self._settings.model_dump() | {"spark": spark},
                run_id=self._run_id,
                fingerprints=self._prints,
                version=version,
                executors=self._asked.nodes * setup.executors,
                sample=self._asked.sample,
                result=str(result),
            )
            ended = _run(request, log.local, self._asked.timeout)
            told = read_json(result)
            text = log.local.read_text(encoding="utf-8", errors="replace")
            log.keep()
        if told is not None:
            return dict(told)
        if ended is None:
            return {"why": f"did not end within {self._asked.timeout:.0f} s"}
        return {"why": reason(text) or f"the driver ended with exit code {ended}; see {log.kept}"}


def _run(request: Request, log: Path, timeout: float) -> int | None:
    """Run a trial's process to its end: its exit code; None if it took too long."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cluster.tuning.trial"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(asdict(request)).encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Its JVM too; when the driver is gone the cluster ends the executors.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode


def _write_down(made: Tuned, folder: Place, asked: Asked) -> None:
    """The run's counts, the curve, and the winner's settings.

    Raises:
        UsageError: the settings' file can't be written.
    """
    about = read_json(folder / "run.json") or {}
    about["counts"] = about.get("counts", {}) | {"tune": as_json(made)}
    if made.winner is None:
        about |= {"status": "failed", "message": "tune: no setup came through"}
    write_json(folder / "run.json", about)
    write_whole(made.page, page.html(made.trials, made.winner, made.items).encode())
    if made.winner is None:
        return
    lines = [
        f"# nitamono tune, run {made.run_id}: the best of {len(made.trials)} setups, nodes "
        f"{asked.nodes}, each of {asked.cores} cores and {readable(asked.memory)}",
        *(f"{name}  {value}" for name, value in conf.of(made.winner.setup, asked.nodes).items()),
    ]
    try:
        write_whole(made.conf, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise UsageError(f"--out {made.conf}: can't be written: {error.strerror}") from error


def as_json(made: Tuned) -> dict[str, Any]:
    """All of it, for programs; memory in MiB."""
    return {
        "run_id": made.run_id,
        "items": made.items,
        "trials": [_shown(trial) for trial in made.trials],
        "winner": _shown(made.winner) if made.winner else None,
        "conf": str(made.conf),
        "page": str(made.page),
    }


def _shown(trial: Trial) -> dict[str, Any]:
    return asdict(trial.setup) | {"seconds": trial.seconds, "why": trial.why}


def rows(made: Tuned) -> Iterable[list[str]]:
    """A row of each trial: executors, cores, memory, seconds, items a second, what came of it."""
    for trial in made.trials:
        setup = trial.setup
        yield [
            str(setup.executors),
            str(setup.cores),
            readable(setup.memory),
            "-" if trial.seconds is None else f"{trial.seconds:,.1f}",
            "-" if not trial.seconds else f"{made.items / trial.seconds:,.0f}",
            "best" if trial == made.winner else (trial.why and f"failed: {trial.why}"),
        ]
