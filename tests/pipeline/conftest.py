"""What tests of the pipeline share: the S3 server of the models' tests, and command lines."""

import fcntl
import os
import pickle
from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from tests.models.conftest import proxy, s3_server
from tests.pipeline.shop import Shop

__all__ = ["InProcess", "in_process", "proxy", "s3_server"]

InProcess = Callable[..., str]


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A published catalogue, made once, for all of pytest's workers: tests leave it as it is."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    kept = folder / "shop.pickle"
    with (folder / "shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            (folder / "shop").mkdir()
            made = Shop(folder / "shop")
            kept.write_bytes(pickle.dumps(made))
        shop: Shop = pickle.loads(kept.read_bytes())  # noqa: S301 - our own
    return shop


@pytest.fixture
def in_process(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Run a command line in this process, on the shared session: what it prints on stdout."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        execute(arguments)
        return capsys.readouterr().out

    return run
