"""Files and directories on this host: map, flush, measure, link, copy and remove them."""

import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from models.content import tree_names
from models.errors import ModelError


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for parent, _, names in os.walk(path):
            yield from (Path(parent, name) for name in names)
    else:
        yield path


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a directory.

    A file that is removed meanwhile counts as 0 bytes.
    """
    total = 0
    for file in _files(path):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def map_file(path: Path) -> mmap.mmap:
    """Map a file into memory, read-only.

    Raises:
        ModelError: the file is empty or can't be read.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be mapped: {error}") from error


def stamp(path: Path) -> str:
    """Return 16 hexadecimal digits that change when a file is written or replaced.

    They are made of names, inodes, sizes and times; the files themselves are not read.

    Raises:
        ModelError: the directory can't be a model.
        OSError: the path can't be read.
    """
    digest = hashlib.sha256()
    for name in tree_names(path) if path.is_dir() else [""]:
        stat = (path / name).stat()
        numbers = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        digest.update(f"{name}\0{numbers}\n".encode())
    return digest.hexdigest()[:16]


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that is never written again; copy it where links are not possible."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file's content, without its permissions and times."""
    shutil.copyfile(source, target)


def seal(path: Path) -> None:
    """Make the files of a path read-only and flush them to the disk."""
    for file in _files(path):
        file.chmod(0o444)
        sync(file)
    if path.is_dir():
        for parent, _, _ in os.walk(path):
            sync(Path(parent))


def sync(path: Path) -> None:
    """Flush one file, or a directory's list of names, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
