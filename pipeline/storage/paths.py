"""A place: a path of a file system, or of an object store; and what differs between the two."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from models.s3.client import S3Options, arrow_filesystem
from pipeline.errors import UsageError
from pipeline.storage.s3_path import S3Path

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

StoragePath = Path | S3Path

_SCHEMES = ("s3a://", "s3://")


def is_remote(text: str) -> bool:
    """Whether a setting names a place in an object store."""
    return text.startswith(_SCHEMES)


def storage_path(text: str, s3: S3Options, setting: str) -> StoragePath:
    """The place that a setting names.

    Args:
        text: a path, or s3a://BUCKET/KEY.
        s3: how to reach the object store.
        setting: its name, for the message.

    Raises:
        UsageError: it is on something else.
    """
    if is_remote(text):
        return S3Path.parse(text, s3)
    if "://" in text:
        raise UsageError(
            f"{setting} {text}: only a file system's paths and s3a:// addresses are supported"
        )
    return Path(text)


def spark_path(where: StoragePath, *, literal: bool = False) -> str:
    """A place as Spark takes it: with its scheme, and for reading with no glob in it."""
    text = str(where.absolute()) if isinstance(where, Path) else str(where)
    if not literal:
        text = "".join(f"\\{char}" if char in "\\*?[]{}" else char for char in text)
    return f"file://{text}" if isinstance(where, Path) else text


def relative_to(where: StoragePath, root: StoragePath) -> PurePath:
    """The path of a place in a folder that it lies in."""
    if isinstance(where, Path):
        return where.relative_to(str(root))
    assert isinstance(root, S3Path)  # noqa: S101 - what is in it is
    return where.relative_to(root)


def sorted_by_address(places: Iterable[StoragePath]) -> list[StoragePath]:
    """Places by their addresses."""
    return sorted(places, key=str)


def arrow_path(where: StoragePath) -> "tuple[FileSystem, str]":
    """A place as Arrow reads it: its file system, made in this process, and the path in it."""
    from pyarrow.fs import LocalFileSystem

    if isinstance(where, Path):
        return LocalFileSystem(), str(where.absolute())
    return arrow_filesystem(where.options), f"{where.bucket}/{where.key}"


@contextmanager
def staged_file(where: StoragePath) -> Iterator[str]:
    """A path on this host to write a file to; when the block ends without an error it is there.

    What goes to an object store lies on this host's disk until it is whole: the store is asked as
    often as it takes, and no part of a file is ever seen.
    """
    if isinstance(where, Path):
        yield str(where)
        return
    # Where Spark keeps its shuffles there must be room.
    roomy = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or None
    with tempfile.TemporaryDirectory(prefix="nitamono-", dir=roomy) as folder:
        local = Path(folder) / "file"
        yield str(local)
        where.upload(local)


def touch(where: StoragePath) -> None:
    """Set a file's time to now, by the clock of what it lies on.

    Raises:
        FileNotFoundError: there is none.
    """
    if isinstance(where, Path):
        os.utime(where)
    else:
        where.touch()


def link_exclusive(source: StoragePath, target: StoragePath) -> None:
    """Give a file a second name, or make a copy; of several who try at once one succeeds.

    Raises:
        FileExistsError: the name is taken.
    """
    if isinstance(target, Path):
        os.link(str(source), target)
    else:
        target.write_exclusive(source.read_bytes())


def remove_tree(where: StoragePath) -> None:
    """Remove a folder with all that it holds, as far as that can be done."""
    if isinstance(where, Path):
        shutil.rmtree(where, ignore_errors=True)
    else:
        with suppress(OSError):
            where.remove_tree()


def load_array(where: StoragePath) -> Any:  # noqa: ANN401 - an array of whatever type
    """A NumPy file's array."""
    return np.load(where if isinstance(where, Path) else io.BytesIO(where.read_bytes()))
