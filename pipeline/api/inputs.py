"""What users hand to the API: configs, item ids, DataFrames."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ConfigSource = Config | str | PathLike[str] | Mapping[str, Any]
Settings = Mapping[str, Any]

# Names of Spark's physical operators that run Python on rows contain one of these.
_PYTHON_OPERATORS = ("EvalPython", "MapIn", "InPandas", "InArrow", "PythonUDTF")


def read_config(source: ConfigSource, settings: Settings | None = None) -> tuple[Config, list[str]]:
    """Read a config and apply changes to it.

    Args:
        source: a file, a mapping of sections or of section.key, or a Config.
        settings: changes, by section.key, or by section and key.

    Returns:
        the config, and the changes in the form of --set.

    Raises:
        UsageError: the file can't be read, or a setting is wrong.
    """
    assignments = list(_assignments(settings or {}))
    if isinstance(source, Config):
        if not assignments:
            return source, []
        source = source.model_dump(exclude_unset=True)
    if isinstance(source, Mapping):
        return reading.from_mapping(source, assignments), assignments
    return reading.load(Path(source), assignments), assignments


def _assignments(settings: Settings, prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _assignments(value, f"{prefix}{name}.")
        else:
            plain = str(value) if isinstance(value, PathLike) else value
            # JSON's text, numbers and lists are TOML's.
            yield f"{prefix}{name}={json.dumps(plain, ensure_ascii=False)}"


def require_columns(frame: "DataFrame", name: str, *columns: str) -> None:
    """Check that a frame has some columns.

    Args:
        frame: the frame.
        name: what the frame is called in the message.
        columns: the columns it must have.

    Raises:
        UsageError: columns are missing; it names them, and those that there are.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UsageError(
            f"{name}: column {', '.join(missing)} is missing; the frame has: "
            f"{', '.join(frame.columns)}"
        )


def own_python_worker(frame: "DataFrame") -> "DataFrame":
    """The frame, changed so that its next Python worker is the only one in its task.

    A frame whose rows Python makes is repartitioned. Otherwise one task would have two Python
    workers, and each would hold a model or a block of vectors.
    """
    plan = io.StringIO()
    with redirect_stdout(plan):
        frame.explain()
    if any(operator in plan.getvalue() for operator in _PYTHON_OPERATORS):
        return frame.repartition("item_id")
    return frame


def unique_ids(items: "str | Sequence[str]") -> list[str]:
    """One id or several, each once.

    Raises:
        UsageError: there is none, or one is no string.
    """
    ids = [items] if isinstance(items, str) else list(items)
    if not ids or not all(isinstance(item_id, str) for item_id in ids):
        raise UsageError("items: give an item_id, a list of them, or a DataFrame with item_id")
    return list(dict.fromkeys(ids))
