"""What tests of the pipeline share: the S3 server of the models' tests, and command lines."""

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from pipeline.cli import execute
from tests.models.conftest import proxy, s3_server
from tests.pipeline.shop import Shop

__all__ = ["InProcess", "in_process", "proxy", "s3_server"]

InProcess = Callable[..., str]


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A published catalogue, made once: tests leave it as it is."""
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def in_process(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Run a command line in this process, on the shared session: what it prints on stdout."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        execute(arguments)
        return capsys.readouterr().out

    return run
