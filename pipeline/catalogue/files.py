"""The catalogue's files: which they are, of what format, and in what state."""

import os
from dataclasses import dataclass
from pathlib import Path

from models.content import file_sha256
from models.s3 import S3Options
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError, UsageError
from pipeline.storage.paths import StoragePath, relative_to, sorted_by_address, storage_path
from pipeline.storage.s3_path import Stat

ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
# Local files are hashed for their identity up to this size together: a fraction of a second.
HASHED_BYTES = 64 << 20
_COMPRESSED = {".gz", ".bz2", ".zst", ".snappy", ".lz4"}


@dataclass(frozen=True)
class Source:
    """A catalogue's files and how they are read: its section of the config, and the object store.

    Attributes:
        path: file, or folder of files.
        format: parquet, csv or jsonl; auto goes by the files' names.
        columns: nitamono's columns and what the files call them.
        encoding: of CSV and JSON Lines.
        delimiter: of CSV.
        s3: how to reach the object store.
    """

    path: str
    format: str
    columns: dict[str, str]
    encoding: str
    delimiter: str
    s3: S3Options

    @classmethod
    def from_config(cls, section: CatalogueSection, s3: S3Options) -> "Source":
        """The source that a section of the config names."""
        return cls(**section.model_dump(), s3=s3)

    @property
    def root(self) -> StoragePath:
        """The file or folder."""
        return storage_path(self.path, self.s3, "catalogue.path")


def list_files(source: Source) -> list[StoragePath]:
    """The catalogue's files, sorted; names that Spark ignores (`_x`, `.x`) are left out.

    Raises:
        InputError: there is no file.
    """
    root = source.root
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError(f"catalogue.path {root}: no such file; check [catalogue] path")
    files = sorted_by_address(
        file
        for file in root.rglob("*")
        if file.is_file() and not any(part[0] in "_." for part in relative_to(file, root).parts)
    )
    if not files:
        raise InputError(f"catalogue.path {root}: the folder holds no file")
    return files


def identity(source: Source) -> list[list[object]]:
    """What tells one state of the catalogue's files from another: one list a file.

    A file of an object store is its name relative to the catalogue, its size and its ETag; a file
    of this host its relative name, its size and its sha256. So a catalogue that was copied or
    moved is the same one, and files of other content never are, whatever their names, sizes and
    times. Local files that hold more than HASHED_BYTES together are not read for this: each is its
    absolute path, its size and its time of modification, and a moved catalogue is another one.

    Raises:
        InputError: there is no file, or one can't be read.
    """
    files, root = list_files(source), source.root
    folder = root.parent if files == [root] else root
    try:
        states = [file.stat() for file in files]
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
    formats = set()
    for file in list_files(source):
        endings = [ending for ending in file.suffixes if ending.lower() not in _COMPRESSED]
        formats.add(ENDINGS.get(endings[-1].lower() if endings else "", ""))
    if len(formats) != 1 or "" in formats:
        raise UsageError(
            f"catalogue.path {source.path}: the format can't be told from the files' names; "
            "set catalogue.format to parquet, csv or jsonl"
        )
    return formats.pop()


def spark_options(source: Source) -> dict[str, str]:
    """The reader's options that make Spark read the files of `list_files`, of whatever format."""
    root = source.root
    if not root.is_dir():
        return {}
    folders = {relative_to(file.parent, root) for file in list_files(source)}
    # Spark takes folders named key=value for columns, and ignores others unless it is told.
    plain_folders = any("=" not in part for folder in folders for part in folder.parts)
    return {"recursiveFileLookup": "true"} if plain_folders else {}
