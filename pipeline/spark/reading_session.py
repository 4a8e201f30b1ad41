"""A Spark session for a command that only reads tables."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError
from pipeline.spark import object_stores, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog
from pipeline.storage.tracebacks import write_traceback
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def reading_session(config: Config, title: str) -> "Iterator[SparkSession]":
    """Start a session, show its progress on stderr, and stop it at the end.

    Spark's log lies in a temporary folder, which stays if Spark fails.

    Args:
        config: its [spark] and its store's object storage.
        title: names the command in the line of progress and in errors.

    Raises:
        StageError: Spark fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="nitamono-"))
    with Progress().stage(title) as line:
        line.note = "starting Spark"
        spark, is_own = session.start(
            object_stores.spark_settings(config), SparkLog(folder / "spark.log")
        )
        line.note = ""
        line.follow(spark.sparkContext, f"{title}-{folder.name}")
        try:
            yield spark
        except NitamonoError:
            raise
        except Exception as error:
            write_traceback(folder)
            reason = explain(error, session.settings(config.spark), folder / "spark.log")
            raise StageError(f"{title} failed: {reason}. More is in {folder}") from error
        finally:
            if is_own:
                spark.stop()
    rmtree(folder, ignore_errors=True)
