"""Storage paths: of a file system or an object store, and what differs between the two."""

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from models.disk import sync
from models.stores.address import SCHEMES
from models.stores.client import connect
from models.stores.options import StoreOptions
from pipeline.errors import UsageError
from pipeline.storage.object_path import ObjectPath

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

StoragePath = Path | ObjectPath

_PREFIXES = tuple(f"{scheme}://" for scheme in SCHEMES)


def is_remote(text: str) -> bool:
    """Whether a setting names a path in an object store."""
    return text.startswith(_PREFIXES)


def storage_path(text: str, stores: StoreOptions, setting: str) -> StoragePath:
    """The path that a setting names.

    Args:
        text: a path of a file system, or an address: s3a://, gs:// or abfss://.
        stores: how to reach the object stores.
        setting: its name, for the message.

    Raises:
        UsageError: the text is an address of another scheme.
    """
    if is_remote(text):
        return ObjectPath.parse(text, stores)
    if "://" in text:
        raise UsageError(
            f"{setting} {text}: only a file system's paths and addresses that begin with s3a://, "
            "gs:// or abfss:// are supported"
        )
    return Path(text)


def spark_path(path: StoragePath, *, literal: bool = False) -> str:
    """A path as Spark takes it, with its scheme.

    Args:
        path: a file or folder.
        literal: leave characters of a glob as they are; Spark's readers need them escaped, its
            writers do not.
    """
    text = str(path.absolute()) if isinstance(path, Path) else str(path)
    if not literal:
        text = "".join(f"\\{char}" if char in "\\*?[]{}" else char for char in text)
    return f"file://{text}" if isinstance(path, Path) else text


def relative_to(path: StoragePath, folder: StoragePath) -> PurePath:
    """A path relative to a folder that it lies in."""
    if isinstance(path, Path):
        return path.relative_to(str(folder))
    assert isinstance(folder, ObjectPath)  # noqa: S101 - its contents are in the same store
    return path.relative_to(folder)


def sorted_by_address(paths: Iterable[StoragePath]) -> list[StoragePath]:
    """Paths in the order of their addresses."""
    return sorted(paths, key=str)


def arrow_path(path: StoragePath) -> "tuple[FileSystem, str]":
    """A path as Arrow reads it: its file system, made in this process, and the path in that."""
    from pyarrow.fs import LocalFileSystem

    if isinstance(path, Path):
        return LocalFileSystem(), str(path.absolute())
    return connect(path.address, path.options).arrow(path.address)


@contextmanager
def staged_file(path: StoragePath) -> Iterator[str]:
    """Yield a local file name to write to; the file is at `path` once the block ends in success.

    A file for an object store lies on this host's disk until it is complete: its upload can be
    repeated as often as needed, and nobody ever sees a part of it.
    """
    if isinstance(path, Path):
        yield str(path)
        # On a shared file system only the host that wrote a file can flush it.
        sync(path)
        return
    # Spark's folder for shuffles is where this host has room.
    folder_with_room = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or None
    with tempfile.TemporaryDirectory(prefix="nitamono-", dir=folder_with_room) as folder:
        local = Path(folder) / "file"
        yield str(local)
        path.upload(local)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, where the file system can do that.

    Raises:
        OSError: the disk failed.
    """
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def touch(path: StoragePath) -> None:
    """Set a file's time to now, by the clock of the file system or object store.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if isinstance(path, Path):
        os.utime(path)
    else:
        path.touch()


def link_exclusive(source: StoragePath, target: StoragePath) -> None:
    """Make a hard link or, in an object store, a copy; of several at the same time one succeeds.

    Raises:
        FileExistsError: the target exists.
    """
    if isinstance(target, Path):
        os.link(str(source), target)
    else:
        target.write_exclusive(source.read_bytes())


def remove_tree(folder: StoragePath) -> None:
    """Remove a folder and its contents; what can't be removed stays, without an error."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with suppress(OSError):
            folder.remove_tree()


def load_arrays(path: StoragePath) -> list[Any]:
    """The arrays in a NumPy file, which may hold several, one after the other.

    Raises:
        EOFError, OSError, ValueError: it is no such file, or the file is cut.
    """
    with path.open("rb") if isinstance(path, Path) else io.BytesIO(path.read_bytes()) as file:
        arrays = [np.load(file)]
        while True:
            try:
                arrays.append(np.load(file))
            except EOFError:  # after the last array
                return arrays
