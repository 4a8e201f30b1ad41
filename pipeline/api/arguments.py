"""What the api's functions are given: a config, a session, frames."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from models import ModelError
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import InputError, NitamonoError, StageError, UsageError
from pipeline.spark import s3a, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Given = Config | str | PathLike[str] | Mapping[str, Any]
Settings = Mapping[str, Any]

_PYTHON_STEPS = ("EvalPython", "MapIn", "InPandas", "InArrow", "PythonUDTF")
_OF_A_JOB = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")


def settled(given: Given, settings: Settings | None = None) -> tuple[Config, list[str]]:
    """The config, and what was changed of it as --set would have it.

    Args:
        given: a file, a mapping of sections or of section.key, or a Config.
        settings: by section.key, or by section and key.

    Raises:
        UsageError: the file can't be read, or a setting is wrong.
    """
    assignments = list(_assignments(settings or {}))
    if isinstance(given, Config):
        if assignments:
            settings = given.model_dump(exclude_unset=True)
            return config.from_mapping(settings, assignments), assignments
        return given, assignments
    if isinstance(given, Mapping):
        return config.from_mapping(given, assignments), assignments
    return config.load(Path(given), assignments), assignments


def _assignments(settings: Settings, prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _assignments(value, f"{prefix}{name}.")
        else:
            plain = str(value) if isinstance(value, PathLike) else value
            # JSON's text, numbers and lists are TOML's.
            yield f"{prefix}{name}={json.dumps(plain, ensure_ascii=False)}"


def live(settings: Config, spark: "SparkSession | None" = None) -> "SparkSession":
    """The session to work on: the one given; else the live one; else a new one, which stays.

    Args:
        settings: whose [spark] and object store a new one is made for.
        spark: the user's.

    Raises:
        StageError: Java is missing or Spark does not start.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if spark is not None:
        return spark
    if SparkContext._active_spark_context is not None:
        return SparkSession.builder.getOrCreate()
    folder = Path(tempfile.mkdtemp(prefix="nitamono-"))
    return session.start(s3a.spark_settings(settings), SparkLog(folder / "spark.log"))[0]


@contextmanager
def work(spark: "SparkSession", what: str) -> Iterator[None]:
    """Work on a user's session: it is left as it was, and failures say what to do.

    Args:
        spark: the session.
        what: is done, for messages.

    Raises:
        InputError: a model can't be used.
        StageError: Spark fails.
    """
    context = spark.sparkContext
    before = {name: context.getLocalProperty(name) for name in _OF_A_JOB}
    known = dict(context.getConf().getAll())
    try:
        yield
    except NitamonoError:
        raise
    except ModelError as error:
        raise InputError(f"{what}: {error}") from error
    except Exception as error:
        raise StageError(f"{what} failed: {explain(error, known, None)}") from error
    finally:
        for name, value in before.items():
            # None takes it away.
            context.setLocalProperty(name, cast("str", value))


def need(frame: "DataFrame", what: str, *columns: str) -> None:
    """See that a frame has these columns.

    Raises:
        UsageError: naming those that are missing, and those that there are.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise UsageError(
            f"{what}: column {', '.join(missing)} is missing; the frame has: "
            f"{', '.join(frame.columns)}"
        )


def apart(frame: "DataFrame") -> "DataFrame":
    """The frame so that a Python worker that reads it has no other in its task.

    Where Python made its rows, they travel in between: two workers of one task would each hold a
    model or a block of vectors.
    """
    plan = frame._jdf.queryExecution().sparkPlan().toString()
    if any(step in plan for step in _PYTHON_STEPS):
        return frame.repartition("item_id")
    return frame


def ids_of(items: "str | Sequence[str]") -> list[str]:
    """One id or several, each once."""
    several = [items] if isinstance(items, str) else list(items)
    if not several or not all(isinstance(item, str) for item in several):
        raise UsageError("items: give an item_id, a list of them, or a DataFrame with item_id")
    return list(dict.fromkeys(several))
