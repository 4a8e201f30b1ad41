"""What the names of files say: their format, and what must not be read as a catalogue."""

from collections.abc import Iterable
from pathlib import Path, PurePath

from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath

ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".orc": "orc",
}
_COMPRESSED = {".gz", ".bz2", ".zst", ".snappy", ".lz4"}
# Spark would read the compressed bytes as text.
_NOT_DECOMPRESSED = {".br", ".zip", ".7z", ".xz", ".rar", ".tar", ".tgz"}
# Files that Windows puts into folders.
_OF_THE_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
_TABLE_FOLDERS = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}


def is_hidden(file: PurePath) -> bool:
    """Whether Spark ignores a file below the folder that it reads, by its relative path."""
    return any(part[0] in "_." for part in file.parts)


def is_of_the_system(file: PurePath) -> bool:
    """Whether an operating system has put the file into the folder, Thumbs.db for instance."""
    return file.name.lower() in _OF_THE_SYSTEM


def is_tsv(file: StoragePath) -> bool:
    """Whether a file's fields are separated by tabs, by its name."""
    return ".tsv" in (ending.lower() for ending in file.suffixes)


def format_by_name(file: StoragePath) -> str:
    """A format of files; empty if the name tells none."""
    endings = [ending.lower() for ending in file.suffixes if ending.lower() not in _COMPRESSED]
    return ENDINGS.get(endings[-1], "") if endings else ""


def check_name(file: StoragePath) -> None:
    """Check that Spark can read a file of this name.

    Raises:
        InputError: it can't; the message says why, and what to do.
    """
    if ":" in file.name:
        raise InputError(
            f"catalogue.path {file}: Spark can't read files with : in their names; rename it"
        )
    ending = file.suffixes[-1].lower() if file.suffixes else ""
    if ending in _NOT_DECOMPRESSED:
        raise InputError(
            f"catalogue.path {file}: Spark can't decompress {ending}; write the file uncompressed, "
            "or compress it with gzip (.gz) or Zstandard (.zst)"
        )


def check_no_table(root: StoragePath, below: Iterable[PurePath]) -> None:
    """Check that a catalogue's files are not those of a Delta Lake, Iceberg or Hudi table.

    Such a folder also holds the files of rows that were deleted or replaced; only the table's log
    says which files count.

    Args:
        root: the catalogue's file or folder.
        below: the paths of the files below it, relative to it.

    Raises:
        InputError: they are.
    """
    kind = next((kind for file in below if (kind := _table_kind(file))), None) or _kind_above(root)
    if kind:
        raise InputError(
            f"catalogue.path {root}: belongs to a table of {kind}; read as plain files, it would "
            "bring deleted and replaced rows back. Read it as a table: set catalogue.table, not "
            "catalogue.path (docs/lakehouse.md)"
        )


def _table_kind(file: PurePath) -> str | None:
    for part in file.parts:
        if part in _TABLE_FOLDERS:
            return _TABLE_FOLDERS[part]
    is_iceberg = file.parent.name == "metadata" and file.name.endswith(".metadata.json")
    return "Iceberg" if is_iceberg else None


def _kind_above(root: StoragePath) -> str | None:
    """The kind of table that a file, a partition's folder or Iceberg's data/ is a part of."""
    path = root.absolute() if isinstance(root, Path) else root
    is_part = path.is_file()
    while is_part or "=" in path.name or path.name == "data":
        path, is_part = path.parent, False
        for name, kind in _TABLE_FOLDERS.items():
            if (path / name).is_dir():
                return kind
        if any((path / "metadata").glob("*.metadata.json")):
            return "Iceberg"
    return None
