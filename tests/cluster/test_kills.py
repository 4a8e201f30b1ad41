"""The sample run on a cluster as it is, and again with executors killed at other moments.

    make test-cluster KILLS=10

goes through the kills so many times.
"""

import os
import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from tests.cluster.conftest import Submit
from tests.cluster.runs import KEYS, SMALL, WATCHED, Run, check_kills, killed, sample
from tests.cluster.standalone import StandaloneCluster

pytestmark = pytest.mark.cluster
TIMES = range(int(os.environ.get("KILLS", "1")))


def places(time: int) -> dict[str, int]:
    """Where executors are killed this time.

    In embed after some of the 11 batches of a task, and every third time when its file is whole. A
    task of the search gives one batch, and so does one of the merge.
    """
    after = 0 if time % 3 == 0 else 1 + time * 4 % 9
    return {"embeddings": after} | ({"neighbors": 1} if time % 2 else {"join": 1})


@pytest.fixture(scope="module")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run in local mode."""
    folder = tmp_path_factory.mktemp("local")
    execute([str(argument) for argument in sample(folder)])
    return Run(folder, folder)


@pytest.fixture(scope="module")
def trained(
    cluster: StandaloneCluster, submit: Submit, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store in which a run on the cluster has come to its model."""
    folder = tmp_path_factory.mktemp("trained")
    done = submit(cluster, *sample(folder), "--to", "train")
    assert done.returncode == 0, done.stdout[-3000:]
    return folder


def test_without_kills(
    cluster: StandaloneCluster, submit: Submit, local: Run, trained: Path, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(trained, tmp_path / "store"), tmp_path)
    done = submit(cluster, *sample(run.store))
    assert done.returncode == 0, done.stdout[-3000:]
    for name in KEYS:
        assert run.table(name).equals(local.table(name))
    assert run.models() == local.models()


@pytest.mark.parametrize("time", TIMES)
def test_killed(
    cluster: StandaloneCluster,
    submit: Submit,
    local: Run,
    trained: Path,
    tmp_path: Path,
    time: int,
) -> None:
    shutil.copytree(trained, tmp_path / "store")
    run = killed(submit, cluster, tmp_path, places(time))
    check_kills(run, places(time))
    for name in KEYS:
        assert run.table(name).equals(local.table(name))


def test_an_executor_lost_more_often_than_spark_tries_is_told_of(
    cluster: StandaloneCluster, submit: Submit, trained: Path, tmp_path: Path
) -> None:
    store, notes = shutil.copytree(trained, tmp_path / "store"), tmp_path
    conf = SMALL | {"spark.task.maxFailures": "1"}
    told = (notes, "embeddings:1", *sample(store), "--to", "embed")
    done = submit(cluster, *told, entry=WATCHED, conf=conf)
    assert done.returncode == 5, done.stdout[-3000:]
    last = done.stdout.splitlines()[-1]
    assert "embed failed: an executor was killed (exit code 137), most often because" in last
    assert "neighbors.worker_mb = 750 (now 1500)" in last
    assert not list((store / "tables").glob("embeddings/*"))
