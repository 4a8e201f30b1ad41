"""`nitamono tune` on a cluster whose executors are killed when they take too much together."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import execute
from tests.cluster import limits
from tests.cluster.conftest import ROOT
from tests.cluster.standalone import StandaloneCluster
from tests.pipeline.report.scripts import Scripts

pytestmark = pytest.mark.cluster

# Room for one executor and its Python worker, not for two.
LIMIT = 800 << 20


def tree(folder: Path) -> dict[str, int]:
    """The files below a folder, with the times of their last change."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """One worker that says that it has more memory than it has."""
    folder = tmp_path_factory.mktemp("limited")
    env = {"PYTHONPATH": str(ROOT), "NITAMONO_CACHE": str(folder / "cache")}
    with ExitStack() as stack:
        prefix = stack.enter_context(limits.control_group(LIMIT))
        more = {"prefix": prefix} if prefix else {}
        running = StandaloneCluster(folder, workers=1, cores=2, memory_mb=4096, env=env, **more)
        stack.enter_context(running)
        if prefix is None:
            stack.enter_context(limits.watcher(running, LIMIT))
        yield running


@pytest.fixture(scope="module")
def shop(spark: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the stages before embed are done."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "nitamono.toml").write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "{ROOT}/data_samples/night1.csv"\n'
        "[model]\nepoch = 1\n"
    )
    execute(["run", "--config", str(folder / "nitamono.toml"), "--to", "train"])
    return folder


@pytest.fixture(scope="module")
def tuned(cluster: StandaloneCluster, shop: Path) -> dict[str, Any]:
    """What `tune --json` prints."""
    before = {name: tree(shop / "store" / name) for name in ("tables", "models", "quantisers")}
    master = [f"--set=spark.{name}={value}" for name, value in _spark(cluster).items()]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "tune", "--config", "nitamono.toml", "--json",
         "--node-cores", "2", "--node-memory", "3g", "--sample", "1000", "--timeout", "200",
         "--out", "best.conf", *master],
        env=os.environ | {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"},
        cwd=shop, capture_output=True, text=True, timeout=700, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert before == {name: tree(shop / "store" / name) for name in before}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _spark(cluster: StandaloneCluster) -> dict[str, str]:
    told = {name.removeprefix("spark."): value for name, value in cluster.conf().items()}
    return told | {"driver.memory": "1g"}


def test_a_setup_that_takes_more_memory_than_there_is_has_failed(tuned: dict[str, Any]) -> None:
    first, second, *_ = tuned["trials"]
    assert first["seconds"] > 0
    assert (second["executors"], second["cores"], second["seconds"]) == (2, 1, None)
    assert "killed" in second["why"]


def test_one_that_came_through_wins_and_its_settings_are_written(
    tuned: dict[str, Any], shop: Path
) -> None:
    winner = tuned["winner"]
    assert winner in tuned["trials"]
    assert winner["seconds"] is not None
    lines = (shop / "best.conf").read_text().splitlines()[1:]
    told = dict(line.split() for line in lines)
    assert told["spark.executor.cores"] == str(winner["cores"])
    assert told["spark.executor.instances"] == str(winner["executors"])
    assert told["spark.executor.memory"] == f"{int(0.4 * winner['memory'])}m"


def test_the_run_keeps_the_trials_and_their_curve(tuned: dict[str, Any], shop: Path) -> None:
    folder = shop / "store" / "runs" / tuned["run_id"]
    about = json.loads((folder / "run.json").read_text())
    assert about["counts"]["tune"]["trials"] == tuned["trials"]
    page = Scripts((folder / "tune.html").read_text(encoding="utf-8"))
    assert json.loads(dict(page.texts)["data"])["trials"] == tuned["trials"]
