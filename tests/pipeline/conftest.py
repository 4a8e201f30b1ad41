"""What tests of the pipeline share: the S3 server of the models' tests, and command lines."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from tests import once
from tests.models.conftest import proxy, s3_server
from tests.pipeline.sample_shop import publish_samples
from tests.pipeline.shop import Shop

__all__ = ["InProcess", "in_process", "proxy", "s3_server"]

InProcess = Callable[..., str]


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A published catalogue, made once, for all of pytest's workers: tests leave it as it is."""
    folder = once.folder(tmp_path_factory, "shop", _publish)
    shop: Shop = pickle.loads((folder / "shop.pickle").read_bytes())  # noqa: S301 - our own
    return shop


def _publish(folder: Path) -> None:
    (folder / "shop.pickle").write_bytes(pickle.dumps(Shop(folder)))


@pytest.fixture(scope="session")
def published_samples(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop after one run over sample items: tests copy it."""
    return once.folder(tmp_path_factory, "samples", publish_samples)


@pytest.fixture
def in_process(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Run a command line in this process, on the shared session: what it prints on stdout."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        execute(arguments)
        return capsys.readouterr().out

    return run
