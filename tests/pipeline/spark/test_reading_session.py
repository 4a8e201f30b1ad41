import re
from pathlib import Path
from shutil import rmtree

import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading
from pipeline.errors import StageError
from pipeline.spark.reading_session import reading_session


def test_an_unexpected_error_leaves_its_traceback_beside_sparks_log(spark: SparkSession) -> None:
    config = reading.defaults(environment={})
    with (
        pytest.raises(StageError, match=r"diff failed: .*ZeroDivisionError") as raised,
        reading_session(config, "diff"),
    ):
        raise ZeroDivisionError("password=hush-hush")
    (folder,) = re.findall(r"More is in (\S+)", str(raised.value))
    text = (Path(folder) / "error.txt").read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: password=***" in text
    rmtree(folder)
