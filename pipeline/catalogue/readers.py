"""Reading a catalogue's files into a DataFrame."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.catalogue.csv_files import read_csv
from pipeline.catalogue.files import (
    Source,
    format_of,
    list_files,
    partition_columns,
    spark_options,
    spark_paths,
)
from pipeline.catalogue.json_files import read_jsonl
from pipeline.catalogue.parquet_files import read_parquet, with_texts
from pipeline.catalogue.tables import TableSource, explained_failures
from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath, spark_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def _read_by_spark(spark: "SparkSession", source: Source) -> "DataFrame":
    """The rows of ORC or Avro files, as Spark reads them; columns that are folders are texts."""
    kind = format_of(source)
    reader = spark.read.format(kind).options(**spark_options(source))
    if kind == "avro":
        _check_same_columns(spark, source)
    frame = reader.option("mergeSchema", "true").load(spark_paths(source))
    partitions = partition_columns(source)
    if not partitions:
        return frame
    return reader.schema(with_texts(frame.schema, partitions)).load(spark_paths(source))


def _check_same_columns(spark: "SparkSession", source: Source) -> None:
    """Check that Avro files have the same columns: Spark reads all of them by one file's schema.

    Raises:
        InputError: two differ.
    """
    first: tuple[StoragePath, str] | None = None
    for file in list_files(source):
        columns = spark.read.format("avro").load(spark_path(file)).schema.simpleString()
        first = first or (file, columns)
        if columns != first[1]:
            raise InputError(
                f"catalogue.path {source.path}: {file} has {columns}, and {first[0]} has "
                f"{first[1]}; write all files with the same columns"
            )


_READERS = {
    "avro": _read_by_spark,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "orc": _read_by_spark,
    "parquet": read_parquet,
}
# Spark's errors about files that are cut short, garbled, or not of the format that is set.
_DAMAGE = re.compile(
    r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|CANNOT_MERGE_SCHEMA|UNABLE_TO_INFER_SCHEMA|"
    r"is not a Parquet file|EOFException|ZipException|MalformedInputException"
)
_DAMAGED_FILE = re.compile(r"reading file (?:file:/*)?((?:/|(?:s3a|gs|abfss?)://)[^\n]+?)\. ")
_CODEC = re.compile(r"hadoop\.io\.compress\.(Brotli|Lzo)Codec")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.M)


def read(spark: "SparkSession", source: Source) -> "DataFrame":
    """The catalogue's rows with the columns of its files; of rows that can't be read CORRUPT.

    Raises:
        InputError: the files are not of the format.
    """
    with explained_damage(source):
        return _READERS[format_of(source)](spark, source)


@contextmanager
def explained_damage(source: Source | TableSource) -> Iterator[None]:
    """Turn what Spark raises over a damaged file or a table into an InputError that names it."""
    if isinstance(source, TableSource):
        with explained_failures(source):
            yield
        return
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if isinstance(error, AnalysisException):
            first_line = text.splitlines()[0][:300]
            raise InputError(
                f"catalogue.path {source.path}: can't be read: {first_line}"
            ) from error
        if not _DAMAGE.search(text):
            raise
        file = _DAMAGED_FILE.search(text)
        if codec := _CODEC.search(text):
            raise InputError(
                f"catalogue.path {source.path}: {file.group(1) if file else 'a file'} is "
                f"compressed with {codec.group(1)}, which Spark can't read; write it with zstd, "
                "gzip or snappy"
            ) from error
        causes = _CAUSE.findall(text)
        raise InputError(
            f"catalogue.path {source.path}: {file.group(1) if file else 'a file'} can't be read "
            f"as {format_of(source)}{f' ({causes[-1][:200]})' if causes else ''}; "
            "is it whole, of that format, and with the same columns as the others?"
        ) from error
