"""Small files, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from pipeline.processes import mark


def write_json(path: Path, value: object, *, indent: int | None = 2) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
    beside = path.with_name(f".{path.name}.{mark()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever was written
    """The JSON of a file; None if there is no such file, or if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
