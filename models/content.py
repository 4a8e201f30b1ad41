"""The content of a model: the SHA-256 and the size that identify a file or a directory."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelError


@dataclass(frozen=True)
class Content:
    """Identifies what a model's file or directory contains.

    Attributes:
        sha256: 64 hexadecimal digits. For a directory it is `tree_sha256` of its files.
        size: in bytes. For a directory it is the sum over its files.
        directory: whether it is a directory.
    """

    sha256: str
    size: int
    directory: bool


@dataclass(frozen=True)
class FileEntry:
    """One file of a directory.

    Attributes:
        name: path relative to the directory, with '/' between its parts.
        size: in bytes.
        sha256: 64 hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_sha256(entries: Iterable[FileEntry]) -> str:
    """Return the SHA-256 of a directory.

    It hashes one line for each file, `name NUL size NUL sha256`, sorted by name. Empty
    directories, times and permissions do not change it.
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.name.encode()):
        digest.update(f"{entry.name}\0{entry.size}\0{entry.sha256}\n".encode())
    return digest.hexdigest()


def tree_content(entries: Iterable[FileEntry]) -> Content:
    """Return the content of a directory with these files."""
    files = list(entries)
    return Content(tree_sha256(files), sum(entry.size for entry in files), directory=True)


def tree_names(folder: Path) -> list[str]:
    """List the relative paths of a directory's files, sorted.

    Raises:
        ModelError: the directory has no files, or has something that is neither a file nor a
            directory.
    """
    names = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in folders:
            if Path(parent, name).is_symlink():
                raise ModelError(f"{parent}/{name}: a link to a directory; put a directory there")
        for name in files:
            path = Path(parent, name)
            if not path.is_file():
                raise ModelError(f"{path}: neither a file nor a directory; remove it")
            names.append(safe_name(path.relative_to(folder).as_posix(), folder))
    if not names:
        raise ModelError(f"{folder}: holds no files, so it can't be a model")
    return sorted(names)


def _raise(error: OSError) -> None:
    raise error


def tree_entries(folder: Path) -> list[FileEntry]:
    """Read each file of a directory once and return their names, sizes and hashes.

    Raises:
        ModelError: as `tree_names`.
        OSError: a file can't be read.
    """
    return [
        FileEntry(name, (folder / name).stat().st_size, file_sha256(folder / name))
        for name in tree_names(folder)
    ]


def safe_name(name: str, origin: object) -> str:
    """Return a relative path unchanged if it stays inside its directory.

    Args:
        name: the path, with '/' between its parts.
        origin: where the name was read, for the error message.

    Raises:
        ModelError: the path leaves its directory, or is not valid UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{origin}: {name!r} is no UTF-8; rename that file") from error
    if "\0" in name or any(step in ("", ".", "..") for step in name.split("/")):
        raise ModelError(f"{origin}: {name!r} can't be a file inside a model's directory")
    return name


def read_content(path: Path) -> Content:
    """Read a file or a directory once, from end to end, and return its content.

    Raises:
        ModelError: the path is missing, can't be read, or is a directory that can't be a model.
    """
    try:
        if path.is_dir():
            return tree_content(tree_entries(path))
        return Content(file_sha256(path), path.stat().st_size, directory=False)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file or directory") from error
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error}") from error


def check(path: Path, expected: Content, origin: str) -> None:
    """Check that a file or directory has the expected content.

    Args:
        path: the file or directory to read.
        expected: the content that it must have.
        origin: where it came from, for the error message.

    Raises:
        ModelError: its content is another one.
    """
    actual = read_content(path)
    if actual != expected:
        raise ModelError(
            f"{origin}: its content is not what was shipped: sha256 {actual.sha256[:16]}, "
            f"{actual.size} bytes instead of {expected.sha256[:16]}, {expected.size} bytes; "
            "it was replaced or damaged: ship the model again"
        )
