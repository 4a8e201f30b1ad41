"""The session of a command that runs some stages and then works with what they wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from models import ModelError
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError
from pipeline.spark import object_stores, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog
from pipeline.storage.tracebacks import write_traceback
from pipeline.terminal.progress import Progress, StageLine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def open_session(settings: Config, progress: Progress, log: SparkLog) -> "Iterator[SparkSession]":
    """One session: the stages make siblings of it, and the command reads with it after them."""
    with progress.stage("      Spark"):
        spark, own = session.start(object_stores.spark_settings(settings), log)
    try:
        yield spark
    finally:
        if own:
            spark.stop()
        log.save()


@contextmanager
def step(
    progress: Progress, spark: "SparkSession", command: str, title: str, log: SparkLog
) -> Iterator[StageLine]:
    """Show a line of progress for a part of a command's work that is no stage.

    Raises:
        StageError: Spark or the model fails.
    """
    spark_settings = dict(spark.sparkContext.getConf().getAll())
    with progress.stage(f"      {title}") as line:
        line.follow(spark.sparkContext, f"{log.destination.parent.name}-{title}")
        try:
            yield line
        except NitamonoError:
            raise
        except ModelError as error:
            raise StageError(f"{command}: {error}") from error
        except Exception as error:
            reason = explain(error, spark_settings, log.local)
            folder = log.destination.parent
            write_traceback(folder)
            raise StageError(f"{command} failed: {reason}. More is in {folder}") from error
