"""Reading a catalogue: Parquet, CSV or JSON Lines, its columns mapped and checked."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import CatalogueSection, java_encoding, python_encoding
from pipeline.errors import InputError, UsageError
from pipeline.store import spark_path
from pipeline.tables import ITEMS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CORRUPT = "_nitamono_unreadable"
# Whether a row has a price or stock that is no number, and so becomes null.
NUMBERS_LOST = "numbers_lost"
_ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSED = {".gz", ".bz2", ".zst", ".snappy", ".lz4"}
# What Spark says of files that are cut short, garbled, or of another format than was said.
_DAMAGE = re.compile(
    r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|CANNOT_MERGE_SCHEMA|UNABLE_TO_INFER_SCHEMA|"
    r"is not a Parquet file|EOFException|ZipException|MalformedInputException"
)
_DAMAGED_FILE = re.compile(r"reading file file:/*(/[^\n]+?)\. ")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.M)
_PATTERN = re.compile(r"[\\*?\[\]{}]")
_WHOLE_NUMBERS = {"tinyint", "smallint", "int", "bigint"}


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


def read(spark: "SparkSession", section: CatalogueSection) -> "DataFrame":
    """The catalogue as its files have it; rows that can't be read fill only CORRUPT.

    Raises:
        InputError: the files are not of the format.
    """
    kind = format_of(section)
    readers = {"parquet": _read_parquet, "csv": _read_csv, "jsonl": _read_jsonl}
    with readable(section):
        return readers[kind](spark, section)


@contextmanager
def readable(section: CatalogueSection) -> Iterator[None]:
    """Turn what Spark raises over a damaged file into an InputError that names it."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if isinstance(error, AnalysisException):
            first = text.splitlines()[0][:300]
            raise InputError(f"catalogue.path {section.path}: can't be read: {first}") from error
        if not _DAMAGE.search(text):
            raise
        file = _DAMAGED_FILE.search(text)
        causes = _CAUSE.findall(text)
        raise InputError(
            f"catalogue.path {section.path}: {file.group(1) if file else 'a file'} can't be read "
            f"as {format_of(section)}{f' ({causes[-1][:200]})' if causes else ''}; "
            "is it whole, of that format, and with the same columns as the others?"
        ) from error


def _options(section: CatalogueSection) -> dict[str, str]:
    """Options of every format: which files are read, which are those of `files`."""
    root = Path(section.path)
    folders = {file.parent.relative_to(root) for file in files(section)} if root.is_dir() else set()
    # Folders named key=value are columns to Spark; others it would pass over without a word.
    odd = any("=" not in part for folder in folders for part in folder.parts)
    return {"recursiveFileLookup": "true"} if odd else {}


def _read_parquet(spark: "SparkSession", section: CatalogueSection) -> "DataFrame":
    reader = spark.read.options(mergeSchema="true", **_options(section))
    return reader.parquet(spark_path(Path(section.path)))


def _read_csv(spark: "SparkSession", section: CatalogueSection) -> "DataFrame":
    from pyspark.sql.types import StringType, StructType

    odd = [str(file) for file in files(section) if _PATTERN.search(str(file))]
    if odd:
        raise InputError(
            f"catalogue.path {odd[0]}: Spark takes *, ?, [, ], {{, }} and \\ in a CSV file's path "
            "for a pattern; rename it"
        )
    schema = StructType()
    for name in [*_csv_columns(section), CORRUPT]:
        schema = schema.add(name, StringType())
    reader = spark.read.options(
        header="true",
        multiLine="true",
        quote='"',
        escape='"',
        sep=_delimiter(section),
        encoding=java_encoding(section.encoding),
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        **_options(section),
    )
    return reader.schema(schema).csv(spark_path(Path(section.path)))


def _delimiter(section: CatalogueSection) -> str:
    return "\t" if ".tsv" in files(section)[0].suffixes else section.delimiter


def _csv_columns(section: CatalogueSection) -> list[str]:
    """The columns of the catalogue's CSV files, under distinct names.

    Raises:
        InputError: a file has no header, or another one than the first.
    """
    every = files(section)
    first = _csv_header(every[0], section)
    for file in every[1:]:
        if (other := _csv_header(file, section)) != first:
            raise InputError(
                f"catalogue.path {section.path}: the header of {file} is {', '.join(other)}, that "
                f"of {every[0]} is {', '.join(first)}; give all files the same columns in one order"
            )
    names: list[str] = []
    for place, name in enumerate(first):
        taken = not name or name in first[:place]
        names.append(f"_c{place}" if taken else name)
    wanted = {section.columns.get(name, name) for name in ITEMS}
    twice = sorted({name for name in first if first.count(name) > 1 and name in wanted})
    if twice:
        raise InputError(f"catalogue.path {section.path}: columns come twice: {', '.join(twice)}")
    return names


def _csv_header(file: Path, section: CatalogueSection) -> list[str]:
    import pyarrow as pa

    encoding = python_encoding(section.encoding)
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
            header = next(csv.reader(text, delimiter=_delimiter(section)), None)
    except (OSError, EOFError, csv.Error) as error:
        raise InputError(
            f"catalogue.path {section.path}: {file} can't be read as csv ({error}); is it whole, "
            "and of that format?"
        ) from error
    if not header:
        raise InputError(f"catalogue.path {file}: the file is empty; a header is needed")
    return header


def _read_jsonl(spark: "SparkSession", section: CatalogueSection) -> "DataFrame":
    reader = spark.read.options(
        primitivesAsString="true",
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        encoding=java_encoding(section.encoding),
        lineSep="\n",
        **_options(section),
    )
    source = spark_path(Path(section.path))
    # Spark refuses queries on the corrupt column alone when the schema was inferred.
    return reader.schema(reader.json(source).schema).json(source)


def columns(frame: "DataFrame", section: CatalogueSection) -> "list[Column]":
    """The columns of the items table, out of the catalogue's, and NUMBERS_LOST.

    Raises:
        InputError: naming every column that is missing or can't be used.
    """
    from pyspark.sql import functions as F

    if not any(name != CORRUPT for name in frame.columns):
        raise InputError(
            f"catalogue.path {section.path}: no row can be read as {format_of(section)}; "
            "is it of that format? JSON Lines has one object a line"
        )
    kinds = {name: kind for name, kind in frame.dtypes if name != CORRUPT}
    problems = [
        f"catalogue.columns.{name}: unknown; known are {', '.join(ITEMS)}"
        for name in section.columns
        if name not in ITEMS
    ]
    chosen: list[Column] = []
    lost = F.lit(False)
    for name, wanted in ITEMS.items():
        source = section.columns.get(name, name)
        if source in kinds:
            problem = _misfit(name, kinds[source])
            if problem:
                problems.append(f"column {source} (for {name}): {problem}")
            column = frame[f"`{source.replace('`', '``')}`"]
            cast = column.try_cast(wanted)
            if wanted == "double":
                lost = lost | (~blank(column.cast("string")) & cast.isNull())
            chosen.append(cast.alias(name))
        elif name in section.columns or name in ("item_id", "title"):
            problems.append(f"column {source} (for {name}) is missing")
        else:
            chosen.append(F.lit(None).cast(wanted).alias(name))
    if problems:
        raise InputError(
            f"catalogue.path {section.path}: {'; '.join(problems)}. "
            f"It has: {', '.join(kinds)}. Map them with [catalogue] columns"
        )
    return [*chosen, lost.alias(NUMBERS_LOST)]


def _misfit(name: str, kind: str) -> str:
    whole = kind in _WHOLE_NUMBERS or re.fullmatch(r"decimal\(\d+,0\)", kind)
    if ITEMS[name] == "double":
        numeric = whole or kind in ("string", "double", "float", "boolean")
        return "" if numeric or kind.startswith("decimal") else f"{kind}, not a number"
    # A column of nulls alone has whatever type its writer thought of.
    return "" if whole or kind in ("string", "void") else f"{kind}, not string or integer"


def blank(column: "Column") -> "Column":
    """Whether a text is null or white space only, of any script."""
    from pyspark.sql import functions as F

    return column.isNull() | F.regexp_like(column, F.lit(r"(?U)\A\s*\z"))
