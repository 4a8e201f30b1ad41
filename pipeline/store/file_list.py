"""The list of a version's files, with the size and checksum of each: what the version is.

The list, `_files.json`, is written into the version's folder after all files. Readers read the
files of the list and no others: what a late or repeated task leaves behind is not part of the
table. Versions of releases up to 0.2 have no list; there every Parquet file of the folder counts.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
        name: its name in the version's folder.
        bytes: its size.
        sha256: of its content, in hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


def describe(path: str, name: str, system: FileSystem | None = None) -> File:
    """The size and checksum of a file; reads it once.

    Args:
        path: the file.
        name: the name that it has in the list.
        system: the file system that the file is in; this host's by default.
    """
    hasher, size = hashlib.sha256(), 0
    with (system or LocalFileSystem()).open_input_stream(path, compression=None) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
            size += len(chunk)
    return File(name, size, hasher.hexdigest())


def write(folder: StoragePath, files: Iterable[File], name: str = NAME) -> None:
    """Write the list of a folder's files; the files are on the disk before."""
    entries = [asdict(file) for file in sorted(files, key=lambda file: file.name)]
    content = {"files": entries, "sha256": _entries_sha256(entries)}
    write_atomic(folder / name, (json.dumps(content, indent=1) + "\n").encode())


def read(folder: StoragePath, name: str = NAME) -> list[File] | None:
    """The list of a folder's files, by name; None if there is no list.

    Raises:
        DamagedError: the list is damaged.
    """
    content = read_json(folder / name)
    if content is None:
        return None
    try:
        files, is_whole = content["files"], _entries_sha256(content["files"]) == content["sha256"]
        entries = [File(**entry) for entry in files]
    except (KeyError, TypeError) as error:
        raise DamagedError(f"{folder / name}: damaged ({error})", REMEDY) from error
    if not is_whole:
        raise DamagedError(f"{folder / name}: its own checksum is another", REMEDY)
    return entries


def _entries_sha256(entries: list[dict[str, object]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def names(folder: StoragePath) -> list[str]:
    """The names of a version's files, sorted, after their sizes were checked.

    Raises:
        DamagedError: a file is missing or has another size, or the list is damaged.
        FileNotFoundError: there is no such folder.
    """
    return [file if isinstance(file, str) else file.name for file in _files(folder)[0]]


def _files(folder: StoragePath) -> tuple[Sequence[File | str], int]:
    """The files of a version, or their names where there is no list; and their bytes in all.

    Raises:
        DamagedError, FileNotFoundError: as `names`.
    """
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    files = read(folder)
    if files is None:
        present = sorted(name for name in sizes if name.endswith(_SUFFIX))
        if not present:
            # A table without rows has a file too. Without this check, readers would take a table
            # whose files were deleted for an empty one.
            raise DamagedError(f"{folder}: its files are gone", REMEDY)
        return present, sum(sizes[name] for name in present)
    for file in files:
        if file.name not in sizes:
            raise DamagedError(f"{folder / file.name}: the file is missing", REMEDY)
        if sizes[file.name] != file.bytes:
            raise DamagedError(
                f"{folder / file.name}: it has {sizes[file.name]:,} bytes, not {file.bytes:,}",
                REMEDY,
            )
    return files, sum(file.bytes for file in files)


def find_damage(
    folder: StoragePath, spark: "Callable[[], SparkSession] | None" = None
) -> list[str]:
    """What is wrong with a version's files, one text a file; reads all of them.

    Args:
        folder: the version's folder.
        spark: gives the session whose executors read large tables; without it the driver does.
    """
    try:
        files, size = _files(folder)
    except DamagedError as error:
        return [error.what]
    except FileNotFoundError as error:
        return [str(error)]
    if spark is None or size < _MIN_BYTES_ON_EXECUTORS:
        return damage_of(folder, files)
    tasks = spark().sparkContext.parallelize(files, len(files))
    # One text for each damaged file is collected.
    return tasks.flatMap(lambda file: damage_of(folder, [file])).collect()


def damage_of(folder: StoragePath, files: Sequence[File | str]) -> list[str]:
    """What is wrong with some files of a version, one text a file; reads them as a whole.

    Args:
        folder: the version's folder.
        files: the files as the list has them; or names, where there is no list: such files are
            decoded.
    """
    system, base = arrow_path(folder)

    def problem(file: File | str) -> str:
        name = file if isinstance(file, str) else file.name
        address = f"{base}/{name}"
        try:
            if isinstance(file, str):
                _decode(address, system)
            elif describe(address, name, system) != file:
                return f"{folder / name}: its content is not what was written (another sha256)"
        except FileNotFoundError:
            return f"{folder / name}: the file is missing"
        except OSError as error:
            return f"{folder / name}: it can't be read ({error})"
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
