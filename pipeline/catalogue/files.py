"""The catalogue's files: which they are, of what format, and in what state."""

from pathlib import Path

from pipeline.errors import InputError, UsageError
from pipeline.sections import CatalogueSection

_ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSED = {".gz", ".bz2", ".zst", ".snappy", ".lz4"}


def files(section: CatalogueSection) -> list[Path]:
    """The catalogue's files, sorted; those that Spark passes over (`_x`, `.x`) are left out.

    Raises:
        InputError: there is none.
    """
    if "://" in section.path:
        raise UsageError(f"catalogue.path {section.path}: only a file system's paths are supported")
    path = Path(section.path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"catalogue.path {path}: no such file; check [catalogue] path")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p[0] in "_." for p in file.relative_to(path).parts)
    )
    if not found:
        raise InputError(f"catalogue.path {path}: the folder holds no file")
    return found


def identity(section: CatalogueSection) -> list[list[object]]:
    """What tells one state of the catalogue's files from another: names, sizes, times.

    Raises:
        InputError: there is no file.
    """
    stats = [(file, file.stat()) for file in files(section)]
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def format_of(section: CatalogueSection) -> str:
    """The format as set, or as the files' names tell.

    Raises:
        UsageError: the names don't tell, or tell of two.
    """
    if section.format != "auto":
        return section.format
    found = set()
    for file in files(section):
        endings = [ending for ending in file.suffixes if ending.lower() not in _COMPRESSED]
        found.add(_ENDINGS.get(endings[-1].lower() if endings else "", ""))
    if len(found) != 1 or "" in found:
        raise UsageError(
            f"catalogue.path {section.path}: the format can't be told from the files' names; "
            "set catalogue.format to parquet, csv or jsonl"
        )
    return found.pop()


def reading_options(section: CatalogueSection) -> dict[str, str]:
    """Options of every format: which files are read, which are those of `files`."""
    root = Path(section.path)
    folders = {file.parent.relative_to(root) for file in files(section)} if root.is_dir() else set()
    # Folders named key=value are columns to Spark; others it would pass over without a word.
    odd = any("=" not in part for folder in folders for part in folder.parts)
    return {"recursiveFileLookup": "true"} if odd else {}
