"""Runs trials, each in a process of its own, which starts a Spark session with its settings."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.cluster.sizing.memory_size import readable
from pipeline.cluster.tuning import conf
from pipeline.cluster.tuning.failures import reason
from pipeline.cluster.tuning.search import Setup, Trial
from pipeline.cluster.tuning.trial import TrialRequest
from pipeline.config.sections import Config
from pipeline.spark.log import SparkLog
from pipeline.storage.files import read_json
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress


@dataclass
class TrialRunner:
    """Runs trials.

    Attributes:
        config: the whole config.
        store: the store.
        run_id: the run that the trials belong to.
        fingerprints: of the stages before embed.
        nodes: number of nodes.
        sample: approximate number of items to embed.
        timeout: maximum duration of a trial, seconds.
        progress: shows a line for each trial.
        count: number of trials so far.
    """

    config: Config
    store: Store
    run_id: str
    fingerprints: dict[str, str]
    nodes: int
    sample: int
    timeout: float
    progress: Progress
    count: int = 0

    def measure(self, setup: Setup) -> Trial:
        """Try a setup."""
        self.count += 1
        title = f"trial {self.count}: {setup.executors} x {setup.cores} cores, "
        version = self.store.trial_version("tune")
        with self.progress.stage(title + readable(setup.memory)) as line:
            try:
                result = self._result(setup, version)
            finally:
                self.store.discard_version("embeddings", version)
            failure = result.get("why", "")
            line.note = f"failed: {failure}" if failure else f"{result['seconds']} s"
        return Trial(setup, result.get("seconds"), failure)

    def _result(self, setup: Setup, version: str) -> dict[str, Any]:
        """The seconds of a trial, or why it failed."""
        log = SparkLog(self.store.run_path(self.run_id) / f"trial-{self.count}.log")
        spark_settings = conf.trial_settings(self.config.spark, setup, self.nodes)
        with tempfile.TemporaryDirectory(prefix="nitamono-tune-") as folder:
            result_file = Path(folder) / "result.json"
            request = TrialRequest(
                config=self.config.model_dump() | {"spark": spark_settings},
                run_id=self.run_id,
                fingerprints=self.fingerprints,
                version=version,
                executors=self.nodes * setup.executors,
                sample=self.sample,
                result=str(result_file),
            )
            exit_code = _run_process(request, log.local, self.timeout)
            result = read_json(result_file)
            text = log.local.read_text(encoding="utf-8", errors="replace")
            log.save()
        if result is not None:
            return dict(result)
        if exit_code is None:
            return {"why": f"did not end within {self.timeout:.0f} s"}
        known_reason = reason(text)
        return {
            "why": known_reason
            or f"the driver ended with exit code {exit_code}; see {log.destination}"
        }


def _run_process(request: TrialRequest, log: Path, timeout: float) -> int | None:
    """Run a trial's process to its end.

    Returns:
        its exit code; None if it took longer than the timeout, in seconds.
    """
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
            # The process's JVM is ended too. Without a driver the cluster ends the executors.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode
