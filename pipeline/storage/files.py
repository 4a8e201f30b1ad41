"""Small files, written whole or not at all."""

import json
import os
from pathlib import Path
from types import UnionType
from typing import Any

from models.disk import sync
from pipeline.errors import DamagedError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.paths import StoragePath, sync_folder


def write_json(path: StoragePath, value: object, *, indent: int | None = 2) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
    write_atomic(path, text.encode())


def write_atomic(path: StoragePath, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    if not isinstance(path, Path):
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{owner_tag()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_exclusive(path: StoragePath, content: bytes) -> None:
    """Write a new file, whole or not at all; a file that exists is left as it is.

    Raises:
        FileExistsError: the file exists, perhaps because another process wrote it just now.
    """
    if not isinstance(path, Path):
        path.write_exclusive(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"_writing-{owner_tag()}")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.link(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: StoragePath) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of a file; None if there is no such file.

    Raises:
        DamagedError: what is in the file is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: damaged: it holds no JSON ({error})") from error


def read_object(path: StoragePath, /, **fields: type | UnionType) -> dict[str, Any] | None:
    """The JSON object of a file; None if there is no such file.

    Args:
        path: the file.
        fields: the type of each field that the object must have.

    Raises:
        DamagedError: what is in the file is no such object.
    """
    content = read_json(path)
    if content is None and not path.exists():
        return None
    if not isinstance(content, dict):
        raise DamagedError(f"{path}: damaged: it holds no JSON object")
    for name, kind in fields.items():
        if not isinstance(content.get(name), kind):
            raise DamagedError(f"{path}: damaged: it holds no valid {name}")
    return content
