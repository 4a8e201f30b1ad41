"""Reading a catalogue: Parquet, CSV or JSON Lines, its columns mapped and checked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.catalogue.csv_files import read_csv
from pipeline.catalogue.files import Source, format_of, identity, spark_options
from pipeline.config.encodings import java_encoding
from pipeline.errors import InputError
from pipeline.storage.paths import spark_path
from pipeline.store.schemas import ITEMS, spark_types

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = [
    "CORRUPT",
    "NUMBERS_LOST",
    "Source",
    "explained_damage",
    "format_of",
    "identity",
    "is_blank",
    "item_columns",
    "read",
]

CORRUPT = "_nitamono_unreadable"
# Whether a row has a price or stock that is no number, and so becomes null.
NUMBERS_LOST = "numbers_lost"
# What Spark says of files that are cut short, garbled, or of another format than was said.
_DAMAGE = re.compile(
    r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|CANNOT_MERGE_SCHEMA|UNABLE_TO_INFER_SCHEMA|"
    r"is not a Parquet file|EOFException|ZipException|MalformedInputException"
)
_DAMAGED_FILE = re.compile(r"reading file (?:file:/*)?((?:/|s3a://)[^\n]+?)\. ")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.M)
_WHOLE_NUMBERS = {"tinyint", "smallint", "int", "bigint"}


def read(spark: "SparkSession", source: Source) -> "DataFrame":
    """The catalogue as its files have it; rows that can't be read fill only CORRUPT.

    Raises:
        InputError: the files are not of the format.
    """
    kind = format_of(source)
    with explained_damage(source):
        if kind == "csv":
            return read_csv(spark, source, CORRUPT)
        return (_read_parquet if kind == "parquet" else _read_jsonl)(spark, source)


@contextmanager
def explained_damage(source: Source) -> Iterator[None]:
    """Turn what Spark raises over a damaged file into an InputError that names it."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if isinstance(error, AnalysisException):
            first = text.splitlines()[0][:300]
            raise InputError(f"catalogue.path {source.path}: can't be read: {first}") from error
        if not _DAMAGE.search(text):
            raise
        file = _DAMAGED_FILE.search(text)
        causes = _CAUSE.findall(text)
        raise InputError(
            f"catalogue.path {source.path}: {file.group(1) if file else 'a file'} can't be read "
            f"as {format_of(source)}{f' ({causes[-1][:200]})' if causes else ''}; "
            "is it whole, of that format, and with the same columns as the others?"
        ) from error


def _read_parquet(spark: "SparkSession", source: Source) -> "DataFrame":
    reader = spark.read.options(mergeSchema="true", **spark_options(source))
    return reader.parquet(spark_path(source.root))


def _read_jsonl(spark: "SparkSession", source: Source) -> "DataFrame":
    reader = spark.read.options(
        primitivesAsString="true",
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        encoding=java_encoding(source.encoding),
        lineSep="\n",
        **spark_options(source),
    )
    where = spark_path(source.root)
    # Spark refuses queries on the corrupt column alone when the schema was inferred.
    return reader.schema(reader.json(where).schema).json(where)


def item_columns(frame: "DataFrame", source: Source) -> "list[Column]":
    """The columns of the items table, out of the catalogue's, and NUMBERS_LOST.

    Raises:
        InputError: naming every column that is missing or can't be used.
    """
    from pyspark.sql import functions as F

    if not any(name != CORRUPT for name in frame.columns):
        raise InputError(
            f"catalogue.path {source.path}: no row can be read as {format_of(source)}; "
            "is it of that format? JSON Lines has one object a line"
        )
    kinds = {name: kind for name, kind in frame.dtypes if name != CORRUPT}
    problems = [
        f"catalogue.columns.{name}: unknown; known are {', '.join(ITEMS.names)}"
        for name in source.columns
        if name not in ITEMS.names
    ]
    chosen: list[Column] = []
    lost = F.lit(False)
    for name, wanted in spark_types(ITEMS).items():
        given = source.columns.get(name, name)
        if given in kinds:
            problem = _misfit(name, kinds[given])
            if problem:
                problems.append(f"column {given} (for {name}): {problem}")
            column = frame[f"`{given.replace('`', '``')}`"]
            cast = column.try_cast(wanted)
            if wanted == "double":
                lost = lost | (~is_blank(column.cast("string")) & cast.isNull())
            chosen.append(cast.alias(name))
        elif name in source.columns or name in ("item_id", "title"):
            problems.append(f"column {given} (for {name}) is missing")
        else:
            chosen.append(F.lit(None).cast(wanted).alias(name))
    if problems:
        raise InputError(
            f"catalogue.path {source.path}: {'; '.join(problems)}. "
            f"It has: {', '.join(kinds)}. Map them with [catalogue] columns"
        )
    return [*chosen, lost.alias(NUMBERS_LOST)]


def _misfit(name: str, kind: str) -> str:
    whole = kind in _WHOLE_NUMBERS or re.fullmatch(r"decimal\(\d+,0\)", kind)
    if ITEMS.field(name).type == pa.float64():
        numeric = whole or kind in ("string", "double", "float", "boolean")
        return "" if numeric or kind.startswith("decimal") else f"{kind}, not a number"
    # A column of nulls alone has whatever type its writer thought of.
    return "" if whole or kind in ("string", "void") else f"{kind}, not string or integer"


def is_blank(column: "Column") -> "Column":
    """Whether a text is null or white space only, of any script."""
    from pyspark.sql import functions as F

    return column.isNull() | F.regexp_like(column, F.lit(r"(?U)\A\s*\z"))
