"""The sample run through spark-submit, on executors that are killed, against local mode."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from tests.cluster.conftest import Submit
from tests.cluster.runs import KEYS, SMALL, Run, check_kills, killed, sample
from tests.cluster.standalone import StandaloneCluster
from tests.conftest import QUICK_PLANS
from tests.pipeline.sample_shop import SAMPLES, head

pytestmark = pytest.mark.processes
PLACES = {"embeddings": 3, "neighbors": 1}
# Enough for two tasks of five batches each.
ITEMS = 1100
# Small vectors of a model that is trained quickly.
SMALL_MODEL = ("model.epoch=1", "model.dim=20", "embed.dim=64")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The settings of both runs."""
    file = tmp_path_factory.mktemp("catalogue") / "items.csv"
    return (*SMALL_MODEL, f"catalogue.path={head(SAMPLES / 'night1.csv', file, ITEMS)}")


@pytest.fixture(scope="module")
def local(
    spark: SparkSession, settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The run in local mode."""
    folder = tmp_path_factory.mktemp("local")
    execute([str(argument) for argument in sample(folder, *settings)])
    return Run(folder, folder)


@pytest.fixture(scope="module")
def run(
    cluster: StandaloneCluster,
    submit: Submit,
    settings: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The run on the cluster, with an executor killed in each place."""
    conf = SMALL | QUICK_PLANS
    return killed(submit, cluster, tmp_path_factory.mktemp("killed"), PLACES, *settings, conf=conf)


@pytest.mark.parametrize("name", KEYS)
def test_the_table_is_that_of_local_mode_to_the_bit(local: Run, run: Run, name: str) -> None:
    assert local.table(name).num_rows > ITEMS - 20
    assert run.table(name).equals(local.table(name))


def test_the_model_is_trained_to_the_same_bytes(local: Run, run: Run) -> None:
    assert len(local.models()) == 1
    assert run.models() == local.models()


def test_executors_were_killed_in_the_middle_of_their_work(run: Run) -> None:
    check_kills(run, PLACES)


def test_executors_work_in_folders_of_their_own_and_share_one_copy_of_the_model(run: Run) -> None:
    seen = run.noted("process-*.json")
    assert {Path(each["folder"]).parents[1].name for each in seen} == {"worker-0", "worker-1"}
    by_executor = {each["executor"]: each["folder"] for each in seen}
    assert len(set(by_executor.values())) == len(by_executor) >= 2
    (inode,) = {tuple(mapped) for each in seen for mapped in each["mapped"]}
    (model,) = run.models()
    assert model in inode[-1]
