"""What tests of the pipeline share: the S3 server of the models' tests, and command lines."""

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from pipeline.cli import execute
from tests.models.conftest import proxy, s3_server

__all__ = ["InProcess", "in_process", "proxy", "s3_server"]

InProcess = Callable[..., str]


@pytest.fixture
def in_process(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Run a command line in this process, on the shared session: what it prints on stdout."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        execute(arguments)
        return capsys.readouterr().out

    return run
