"""The list of a version's files, with the size and checksum of each: what the version is.

The list, `_files.json`, is written into the version's folder after all files. Readers read the
files of the list and no others: what a late or repeated task leaves behind is not part of the
table. Versions of releases up to 0.2 have no list; there every Parquet file of the folder counts.

A version may share files with earlier versions of its table: its list names their folders too. The
list is complete: no other list has to be read. What the files mean is said in
pipeline.store.layers.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, LocalFileSystem

from pipeline.errors import DamagedError
from pipeline.storage.files import read_json, write_atomic
from pipeline.storage.paths import StoragePath, arrow_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark and Arrow pass over this name when they read a folder.
NAME = "_files.json"
# What to do about a damaged table.
REMEDY = "to have it made again, run: nitamono run --config FILE"
_SUFFIX = ".parquet"
# What the driver reads in a few seconds.
_MIN_BYTES_ON_EXECUTORS = 4 << 30
_CHUNK_BYTES = 1 << 20
# Files that are read at the same time.
_PARALLEL_FILES = 8


@dataclass(frozen=True)
class File:
    """One file of a version.

    Attributes:
        name: its name in its folder, with the names of folders in that one.
        bytes: its size.
        sha256: of its content, in hexadecimal digits; empty if no list has it.
        rows: number of its rows; -1 if the list does not say.
        folder: the name of the folder of the version that it was written for, beside the folder of
            this version; empty if it is this version's.
        layer: the number of its layer.
        removes: whether its rows are removals.
    """

    name: str
    bytes: int
    sha256: str
    rows: int = -1
    folder: str = ""
    layer: int = 0
    removes: bool = False

    def path(self, folder: StoragePath) -> StoragePath:
        """Where it is.

        Args:
            folder: the folder of the version.
        """
        return (folder.parent / self.folder if self.folder else folder) / self.name

    def place(self, folder: StoragePath) -> str:
        """Its path in the folder of the table; arguments as for `path`."""
        return f"{self.folder or folder.name}/{self.name}"


def describe(path: str, name: str, system: FileSystem | None = None, rows: int = -1) -> File:
    """The size and checksum of a file; reads it once.

    Args:
        path: the file.
        name: the name that it has in the list.
        system: the file system that the file is in; this host's by default.
        rows: number of its rows, if it is known.
    """
    hasher, size = hashlib.sha256(), 0
    with (system or LocalFileSystem()).open_input_stream(path, compression=None) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
            size += len(chunk)
    return File(name, size, hasher.hexdigest(), rows)


@dataclass(frozen=True)
class FileList:
    """What a version consists of.

    Attributes:
        files: its files, layer by layer, then by name.
        base: the version that its last layer was built on; empty if it has one layer only.
    """

    files: tuple[File, ...]
    base: str = ""

    @property
    def folders(self) -> set[str]:
        """The names of the folders of other versions that it needs."""
        return {file.folder for file in self.files if file.folder}


def write(folder: StoragePath, files: Iterable[File], name: str = NAME, base: str = "") -> None:
    """Write the list of a version's files; the files are on the disk before.

    Args:
        folder: the folder of the version.
        files: its files.
        name: of the list.
        base: the version that the last layer is built on.
    """
    entries = [_entry(file) for file in sorted(files, key=_order)]
    content = {"files": entries, "sha256": _entries_sha256(entries)}
    if base:
        content["base"] = base
    write_atomic(folder / name, (json.dumps(content, indent=1) + "\n").encode())


def _order(file: File) -> tuple[int, bool, str, str]:
    return file.layer, file.removes, file.folder, file.name


def _entry(file: File) -> dict[str, object]:
    """A file as the list has it: without what is as usual."""
    defaults = {field.name: field.default for field in fields(File)}
    return {name: value for name, value in asdict(file).items() if value != defaults[name]}


def read(folder: StoragePath, name: str = NAME) -> FileList | None:
    """The list of a version's files; None if there is no list.

    Raises:
        DamagedError: the list is damaged.
    """
    content = read_json(folder / name)
    if content is None:
        return None
    try:
        files, is_whole = content["files"], _entries_sha256(content["files"]) == content["sha256"]
        entries = sorted((File(**entry) for entry in files), key=_order)
        base = content.get("base", "")
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedError(f"{folder / name}: damaged ({error})", REMEDY) from error
    if not is_whole:
        raise DamagedError(f"{folder / name}: its own checksum is another", REMEDY)
    return FileList(tuple(entries), str(base))


def _entries_sha256(entries: list[dict[str, object]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def present_files(folder: StoragePath) -> FileList:
    """The files of a version, after their sizes were checked.

    Where there is no list, all Parquet files of the folder count, without checksums.

    Raises:
        DamagedError: a file is missing or has another size, or the list is damaged.
        FileNotFoundError: there is no such folder.
    """
    sizes = _sizes(folder)
    listed = read(folder)
    if listed is None:
        names = sorted(name for name in sizes if name.endswith(_SUFFIX))
        if not names:
            # A table without rows has a file too. Without this check, readers would take a table
            # whose files were deleted for an empty one.
            raise DamagedError(f"{folder}: its files are gone", REMEDY)
        return FileList(tuple(File(name, sizes[name], "") for name in names))
    others = list({file.path(folder).parent for file in listed.files} - {folder})
    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        shared = pool.map(lambda path: _sizes(path, missing_ok=True), others)
        by_folder = {folder: sizes, **dict(zip(others, shared, strict=True))}
    for file in listed.files:
        path = file.path(folder)
        size = by_folder[path.parent].get(path.name)
        if size is None:
            raise DamagedError(f"{path}: the file is missing", REMEDY)
        if size != file.bytes:
            raise DamagedError(f"{path}: it has {size:,} bytes, not {file.bytes:,}", REMEDY)
    return listed


def _sizes(folder: StoragePath, *, missing_ok: bool = False) -> dict[str, int]:
    """The size of each file of a folder."""
    try:
        return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise


def find_damage(
    folder: StoragePath, spark: "Callable[[], SparkSession] | None" = None
) -> list[str]:
    """What is wrong with a version's files, one text a file; reads all of them.

    Args:
        folder: the version's folder.
        spark: gives the session whose executors read large tables; without it the driver does.
    """
    try:
        files = present_files(folder).files
    except DamagedError as error:
        return [error.what]
    except FileNotFoundError as error:
        return [str(error)]
    if spark is None or sum(file.bytes for file in files) < _MIN_BYTES_ON_EXECUTORS:
        return damage_of(folder, files)
    tasks = spark().sparkContext.parallelize(files, len(files))
    # One text for each damaged file is collected.
    return tasks.flatMap(lambda file: damage_of(folder, [file])).collect()


def damage_of(folder: StoragePath, files: Sequence[File]) -> list[str]:
    """What is wrong with some files of a version, one text a file; reads them as a whole.

    Args:
        folder: the version's folder.
        files: the files as the list has them; files without a checksum are decoded.
    """
    system, base = arrow_path(folder.parent)

    def problem(file: File) -> str:
        path, address = file.path(folder), f"{base}/{file.place(folder)}"
        try:
            if not file.sha256:
                _decode(address, system)
            elif describe(address, file.name, system).sha256 != file.sha256:
                return f"{path}: its content is not what was written (another sha256)"
        except FileNotFoundError:
            return f"{path}: the file is missing"
        except OSError as error:
            return f"{path}: it can't be read ({error})"
        except DamagedError as error:
            return error.what
        return ""

    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        return [text for text in pool.map(problem, files) if text]


@contextmanager
def open_parquet(path: str, system: FileSystem) -> Iterator[pq.ParquetFile]:
    """Open a file of a table; the checksum of each page that is read is verified.

    Raises:
        DamagedError: what the block reads can't be read.
        FileNotFoundError: there is no such file.
    """
    try:
        with pq.ParquetFile(path, filesystem=system, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"{path}: it can't be read ({error})", REMEDY) from error


def _decode(path: str, system: FileSystem) -> None:
    """Read all of a file.

    Raises:
        DamagedError, FileNotFoundError: it can't be read.
    """
    with open_parquet(path, system) as file:
        for _ in file.iter_batches():
            pass
