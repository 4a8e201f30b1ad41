"""Tuning: runs or reuses the stages before embed, then tries setups of executors on the cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__
from pipeline.cluster.tuning import page
from pipeline.cluster.tuning.result import TuningResult, as_json, conf_lines
from pipeline.cluster.tuning.search import best, search
from pipeline.cluster.tuning.trial_runner import TrialRunner
from pipeline.config.sections import Config
from pipeline.errors import StageError, UsageError
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.spark import session
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.train import stage as train
from pipeline.storage.files import read_json, write_atomic, write_json
from pipeline.storage.paths import StoragePath
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

CONF_NAME, PAGE_NAME = "spark.conf", "tune.html"
# spark-submit sets it for the driver that it starts.
_GATEWAY_PORT = "PYSPARK_GATEWAY_PORT"


@dataclass(frozen=True)
class TuningOptions:
    """What to try.

    Attributes:
        cores: cores of a node.
        memory: memory of a node for executors, MiB.
        nodes: number of nodes.
        sample: approximate number of items that a trial embeds.
        timeout: maximum duration of a trial, seconds.
        out: file for the winner's settings; None: in the run's folder.
    """

    cores: int
    memory: float
    nodes: int
    sample: int
    timeout: float
    out: Path | None


def tune(config: Config, options: TuningOptions, progress: Progress) -> TuningResult:
    """Search for the best setup. Nothing is published or made current.

    Raises:
        UsageError: spark-submit was called, the master is local, or --out can't be written.
        InputError: the catalogue can't be used.
        StageError: a stage before embed fails, or every setup.
    """
    _check_cluster(config)
    run_id, store = new_run_id(), Store.of(config)
    runs = Runner(config, run_id, progress, publishing=False, experiment=True)
    stages = runs.run(ingest.NAME, train.NAME)
    tokens = stages.record("tokenize")
    item_count = tokens.tables["tokens"] if tokens else 0
    runner = TrialRunner(
        config=config,
        store=store,
        run_id=run_id,
        fingerprints={name: record.fingerprint for name, _, record in stages.stages},
        nodes=options.nodes,
        sample=options.sample,
        timeout=options.timeout,
        progress=progress,
    )
    trials = search(options.cores, options.memory, runner.measure)
    folder = store.run_path(run_id)
    result = TuningResult(
        run_id=run_id,
        items=min(options.sample, item_count),
        trials=trials,
        winner=best(trials),
        conf=options.out or folder / CONF_NAME,
        page=folder / PAGE_NAME,
    )
    _write(result, folder, options)
    if result.winner is None:
        raise StageError(
            f"tune: no setup came through; the first: {trials[0].failure}. See {result.page}"
        )
    return result


def _check_cluster(config: Config) -> None:
    """See that trials can be run.

    Raises:
        UsageError: spark-submit was called, or the master is local.
    """
    if _GATEWAY_PORT in os.environ:
        raise UsageError(
            "tune: starts Spark anew for each trial, which spark-submit does not allow; call "
            "nitamono itself, with spark.master in the config"
        )
    master = session.settings(config.spark)["spark.master"]
    if master.startswith("local"):
        raise UsageError(
            f"tune: spark.master is {master}, which has no executors to vary; give a cluster's, "
            "spark://... for instance, or ask nitamono size"
        )


def _write(result: TuningResult, folder: StoragePath, options: TuningOptions) -> None:
    """Write the trials into run.json, the page, and the winner's settings.

    Raises:
        UsageError: the file of the settings can't be written.
    """
    content = as_json(result)
    run_json = read_json(folder / "run.json") or {}
    run_json["counts"] = run_json.get("counts", {}) | {"tune": content}
    if result.winner is None:
        run_json |= {"status": "failed", "message": "tune: no setup came through"}
    write_json(folder / "run.json", run_json)
    write_atomic(result.page, page.html(content | {"nitamono": __version__}))
    if result.winner is None:
        return
    lines = conf_lines(result, result.winner, options.nodes, options.cores, options.memory)
    try:
        write_atomic(result.conf, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise UsageError(f"--out {result.conf}: can't be written: {error.strerror}") from error
