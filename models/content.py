"""A model's content: the sha256 that names it, of a file or of a directory."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelError


@dataclass(frozen=True)
class Content:
    """What a model's file or directory holds.

    Attributes:
        sha256: 64 hexadecimal digits; of a file its own, of a directory `tree_sha256`.
        size: in bytes; of a directory the sum over its files.
        directory: whether it is one.
    """

    sha256: str
    size: int
    directory: bool


@dataclass(frozen=True)
class FileEntry:
    """One file of a directory: its relative path with '/' between names, its size, its sha256."""

    name: str
    size: int
    sha256: str


def file_sha256(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_sha256(parts: Iterable[FileEntry]) -> str:
    """The sha256 of a directory: of one line a file, `name NUL size NUL sha256`, sorted by name.

    Empty directories, times and modes are no part of it.
    """
    digest = hashlib.sha256()
    for part in sorted(parts, key=lambda part: part.name.encode()):
        digest.update(f"{part.name}\0{part.size}\0{part.sha256}\n".encode())
    return digest.hexdigest()


def tree_content(parts: Iterable[FileEntry]) -> Content:
    """The content of a directory with these files."""
    listed = list(parts)
    return Content(tree_sha256(listed), sum(part.size for part in listed), directory=True)


def tree_names(folder: Path) -> list[str]:
    """The relative paths of a directory's files, sorted.

    Raises:
        ModelError: it holds no file, or something that is neither file nor directory.
    """
    names = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        for name in folders:
            if Path(parent, name).is_symlink():
                raise ModelError(f"{parent}/{name}: a link to a directory; put a directory there")
        for name in files:
            path = Path(parent, name)
            if not path.is_file():
                raise ModelError(f"{path}: neither a file nor a directory; take it away")
            names.append(safe_name(path.relative_to(folder).as_posix(), folder))
    if not names:
        raise ModelError(f"{folder}: holds no files, so it can't be a model")
    return sorted(names)


def _unreadable(error: OSError) -> None:
    raise error


def tree_entries(folder: Path) -> list[FileEntry]:
    """A directory's files, each read once.

    Raises:
        ModelError: as `tree_names`.
        OSError: a file can't be read.
    """
    return [
        FileEntry(name, (folder / name).stat().st_size, file_sha256(folder / name))
        for name in tree_names(folder)
    ]


def safe_name(name: str, where: object) -> str:
    """The relative path, if it stays inside its directory.

    Raises:
        ModelError: it doesn't, or it is no UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{where}: {name!r} is no UTF-8; rename that file") from error
    if "\0" in name or any(step in ("", ".", "..") for step in name.split("/")):
        raise ModelError(f"{where}: {name!r} can't be a file inside a model's directory")
    return name


def read_content(path: Path) -> Content:
    """The content of a file or a directory, read once from end to end.

    Raises:
        ModelError: it is missing, can't be read, or is a directory that can't be a model.
    """
    try:
        if path.is_dir():
            return tree_content(tree_entries(path))
        return Content(file_sha256(path), path.stat().st_size, directory=False)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file or directory") from error
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error}") from error


def check(path: Path, wanted: Content, origin: str) -> None:
    """See that a file or directory has this content.

    Args:
        path: what is looked at.
        wanted: what it has to hold.
        origin: where it came from, for the message.

    Raises:
        ModelError: it holds something else.
    """
    found = read_content(path)
    if found != wanted:
        raise ModelError(
            f"{origin}: its content is not what was shipped: sha256 {found.sha256[:16]}, "
            f"{found.size} bytes instead of {wanted.sha256[:16]}, {wanted.size} bytes; "
            "it was replaced or damaged: ship the model again"
        )
