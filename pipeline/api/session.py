"""The Spark session that the API works on: the user's, which it leaves as it was."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from models import ModelError
from pipeline.config.sections import Config
from pipeline.errors import InputError, NitamonoError, StageError
from pipeline.spark import object_stores, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_JOB_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")


def find_session(config: Config, spark: "SparkSession | None" = None) -> "SparkSession":
    """The session to work on: the user's, else the running one, else a new one that stays.

    Args:
        config: gives a new session its [spark] and its object storage.
        spark: the user's session.

    Raises:
        StageError: Java is missing or Spark does not start.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if spark is not None:
        return spark
    # SparkSession.getActiveSession knows the sessions of this thread only.
    if SparkContext._active_spark_context is not None:
        return SparkSession.builder.getOrCreate()
    folder = Path(tempfile.mkdtemp(prefix="nitamono-"))
    return session.start(object_stores.spark_settings(config), SparkLog(folder / "spark.log"))[0]


@contextmanager
def working_on(spark: "SparkSession", action: str) -> Iterator[None]:
    """Restore a session's job properties at the end, and turn failures into errors with advice.

    Args:
        spark: the session.
        action: the name of the work, for messages.

    Raises:
        InputError: a model can't be used.
        StageError: Spark fails.
    """
    context = spark.sparkContext
    properties = {name: context.getLocalProperty(name) for name in _JOB_PROPERTIES}
    settings = dict(context.getConf().getAll())
    try:
        yield
    except NitamonoError:
        raise
    except ModelError as error:
        raise InputError(f"{action}: {error}") from error
    except Exception as error:
        raise StageError(f"{action} failed: {explain(error, settings, None)}") from error
    finally:
        for name, value in properties.items():
            # None removes the property, which the annotation of PySpark does not say.
            context.setLocalProperty(name, cast("str", value))
