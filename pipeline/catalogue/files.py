"""The catalogue's files: which they are, of what format, and in what state."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from models.content import file_sha256
from models.stores import StoreOptions
from models.stores.client import Stat
from pipeline.catalogue import names
from pipeline.config.sections import CatalogueSection
from pipeline.config.sections.locations import FILE_FORMATS
from pipeline.errors import InputError, UsageError
from pipeline.storage.paths import (
    StoragePath,
    relative_to,
    sorted_by_address,
    spark_path,
    storage_path,
)
from pipeline.store.schemas import items_schema

# Local files are hashed for their identity up to this size together: a fraction of a second.
HASHED_BYTES = 64 << 20
# Formats whose files have a header or footer, so that none is empty; they are parsed quickly.
WHOLE_FORMATS = ("parquet", "orc", "avro")
if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Columns of `read` beside the files' own, null for rows that could be read: the text of a row, and
# the reason code.
CORRUPT, CORRUPT_REASON = "_nitamono_unreadable", "_nitamono_reason"


def data_columns(frame: "DataFrame") -> list[str]:
    """The names of the catalogue's own columns among those of `read`."""
    return [name for name in frame.columns if name not in (CORRUPT, CORRUPT_REASON)]


@dataclass(frozen=True)
class Source:
    """A catalogue's files and how they are read: its section of the config, and the object store.

    Attributes:
        path: file, or folder of files.
        format: parquet, csv, jsonl, orc or avro; auto goes by the files' names.
        columns: nitamono's columns and what the files call them; empty: the column is left out.
        further: the types of the further columns.
        encoding: of CSV and JSON Lines.
        delimiter: of CSV.
        quote: the character that quotes fields of CSV; empty for none; auto goes by the names.
        stores: how to reach the object stores.
    """

    path: str
    format: str
    columns: dict[str, str]
    further: dict[str, str]
    encoding: str
    delimiter: str
    quote: str
    stores: StoreOptions

    @classmethod
    def from_config(cls, section: CatalogueSection, stores: StoreOptions) -> "Source":
        """The source that a section of the config names."""
        names = ("path", "format", "columns", "further", "encoding", "delimiter", "quote")
        return cls(**{name: getattr(section, name) for name in names}, stores=stores)

    @property
    def root(self) -> StoragePath:
        """The file or folder."""
        return storage_path(self.path, self.stores, "catalogue.path")

    @property
    def label(self) -> str:
        """The setting and its value, for messages."""
        return f"catalogue.path {self.path}"

    def source_name(self, column: str) -> str:
        """What the files call a column of nitamono's; empty if it is left out."""
        return self.columns.get(column, column)

    @property
    def item_columns(self) -> list[str]:
        """The columns of its items table."""
        names: list[str] = items_schema(self.further).names
        return names


def list_files(source: Source) -> list[StoragePath]:
    """The catalogue's files, sorted.

    Names that Spark ignores (`_x`, `.x`) and files that Windows writes into folders are left out.

    Raises:
        InputError: there is no file, Spark can't read one because of its name, or they belong to
            a table of Delta Lake, Iceberg or Hudi.
    """
    root = source.root
    if root.is_file():
        names.check_no_table(root, [])
        files = [root]
    else:
        below = _files_below(root)
        files = [file for file, path in below if not names.is_of_the_system(path)]
    if not files:
        raise InputError(f"catalogue.path {root}: the folder holds no file")
    for file in files:
        names.check_name(file)
    return files


def _files_below(root: StoragePath) -> list[tuple[StoragePath, PurePath]]:
    """The files that Spark reads in a folder, sorted, each with its path below the folder."""
    if not root.is_dir():
        raise InputError(f"catalogue.path {root}: no such file; check [catalogue] path")
    files = sorted_by_address(file for file in root.rglob("*") if file.is_file())
    below = [(file, relative_to(file, root)) for file in files]
    names.check_no_table(root, [path for _, path in below])
    return [(file, path) for file, path in below if not names.is_hidden(path)]


def total_bytes(source: Source) -> int:
    """The size of the catalogue's files together.

    Raises:
        InputError: as `list_files`.
    """
    return sum(file.stat().st_size for file in list_files(source))


def identity(source: Source) -> list[list[object]]:
    """What tells one state of the catalogue's files from another: one list a file.

    A file of an object store is its name relative to the catalogue, its size and its ETag; a file
    of this host its relative name, its size and its sha256. So a catalogue that was copied or
    moved is the same one, and files of other content never are, whatever their names, sizes and
    times. Local files that hold more than HASHED_BYTES together are not read for this: each is its
    absolute path, its size and its time of modification, and a moved catalogue is another one.

    Raises:
        InputError: there is no file, one can't be read, or one is empty that can't be.
    """
    files, root = list_files(source), source.root
    folder = root.parent if files == [root] else root
    try:
        states = [file.stat() for file in files]
        _check_sizes(source, files, states)
        hashed = sum(state.st_size for state in states) <= HASHED_BYTES
        return [
            _identity_of_file(file, folder, state, hashed=hashed)
            for file, state in zip(files, states, strict=True)
        ]
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(
            f"catalogue.path {source.path}: a file can't be read ({error}); check its permissions, "
            "and that nothing removes files during the run"
        ) from error


def _check_sizes(
    source: Source, files: list[StoragePath], states: "list[os.stat_result | Stat]"
) -> None:
    """Check that no Parquet, ORC or Avro file has 0 bytes: Spark would pass it over.

    Raises:
        InputError: one has.
    """
    for file, state in zip(files, states, strict=True):
        kind = "" if state.st_size else format_of(source)
        if kind in WHOLE_FORMATS:
            raise InputError(
                f"catalogue.path {file}: has 0 bytes, so it is no whole {kind} file; write it "
                "again, or remove it"
            )


def _identity_of_file(
    file: StoragePath, folder: StoragePath, state: "os.stat_result | Stat", *, hashed: bool
) -> list[object]:
    if isinstance(state, Stat):
        return [str(relative_to(file, folder)), state.st_size, state.etag]
    if isinstance(file, Path) and hashed:
        return [str(relative_to(file, folder)), state.st_size, file_sha256(file)]
    return [str(file), state.st_size, state.st_mtime_ns]


def format_of(source: Source) -> str:
    """The format that is set or, where that is auto, the one that the files' names tell.

    Raises:
        UsageError: the names tell no format, or two.
    """
    if source.format != "auto":
        return source.format
    formats: dict[str, StoragePath] = {}
    for file in list_files(source):
        formats.setdefault(names.format_by_name(file), file)
    if len(formats) != 1 or "" in formats:
        odd = ", ".join(f"{file} ({name or 'unknown'})" for name, file in formats.items())
        raise UsageError(
            f"catalogue.path {source.path}: the format can't be told from the files' names: {odd}; "
            "remove files that are no part of the catalogue, or set catalogue.format to one of "
            f"{', '.join(FILE_FORMATS)}"
        )
    return next(iter(formats))


def spark_paths(source: Source) -> list[str]:
    """The paths that make Spark read the files of `list_files` and no others."""
    root = source.root
    files = list_files(source)
    if files == [root] or len(files) == len(_files_below(root)):
        return [spark_path(root)]
    return [spark_path(file) for file in files]


def spark_options(source: Source) -> dict[str, str]:
    """The reader's options for `spark_paths`, of whatever format."""
    root = source.root
    if not root.is_dir():
        return {}
    parts = [part for folder in _folders(source) for part in folder.parts]
    if all("=" in part for part in parts):
        return {"basePath": spark_path(root, literal=True)}
    # Spark takes folders named key=value for columns, and ignores others unless it is told.
    return {"recursiveFileLookup": "true"}


def partition_columns(source: Source) -> list[str]:
    """The columns that are folders named key=value, as in `shop=001`; their values are texts."""
    if "basePath" not in spark_options(source):
        return []
    folder = min(_folders(source))
    return [part.partition("=")[0] for part in folder.parts]


def _folders(source: Source) -> set[PurePath]:
    return {relative_to(file.parent, source.root) for file in list_files(source)}
