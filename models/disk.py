"""Files and directories on this host: brought to the disk, measured, linked, removed."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from models.content import tree_names


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for parent, _, names in os.walk(path):
            yield from (Path(parent, name) for name in names)
    else:
        yield path


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a directory; what goes meanwhile counts nothing."""
    total = 0
    for file in _files(path):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def stamp(path: Path) -> str:
    """16 hexadecimal digits that change when a file is written or replaced.

    Made of names, inodes, sizes and times, without reading what the files hold.

    Raises:
        ModelError: the directory can't be a model.
        OSError: something can't be read.
    """
    digest = hashlib.sha256()
    for name in tree_names(path) if path.is_dir() else [""]:
        found = (path / name).stat()
        numbers = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(f"{name}\0{numbers}\n".encode())
    return digest.hexdigest()[:16]


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that nobody writes to a second name; copy it where that can't be."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy what a file holds."""
    shutil.copyfile(source, target)


def seal(path: Path) -> None:
    """Bring a file or a directory to the disk and make its files read-only."""
    for file in _files(path):
        file.chmod(0o444)
        sync(file)
    if path.is_dir():
        for parent, _, _ in os.walk(path):
            sync(Path(parent))


def sync(path: Path) -> None:
    """Bring one file, or a directory's list of names, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
