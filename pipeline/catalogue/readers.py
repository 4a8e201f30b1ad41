"""Reading a catalogue's files into a DataFrame: Parquet, CSV or JSON Lines."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.catalogue.csv_files import read_csv
from pipeline.catalogue.files import Source, format_of, spark_options
from pipeline.config.encodings import java_encoding
from pipeline.errors import InputError
from pipeline.storage.paths import spark_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Column: the text of a row that can't be parsed; null for all others.
CORRUPT = "_nitamono_unreadable"
# Spark's errors about files that are cut short, garbled, or not of the format that is set.
_DAMAGE = re.compile(
    r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|CANNOT_MERGE_SCHEMA|UNABLE_TO_INFER_SCHEMA|"
    r"is not a Parquet file|EOFException|ZipException|MalformedInputException"
)
_DAMAGED_FILE = re.compile(r"reading file (?:file:/*)?((?:/|s3a://)[^\n]+?)\. ")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.M)


def read(spark: "SparkSession", source: Source) -> "DataFrame":
    """The catalogue's rows with the columns of its files; rows that can't be parsed fill CORRUPT.

    Raises:
        InputError: the files are not of the format.
    """
    file_format = format_of(source)
    with explained_damage(source):
        if file_format == "csv":
            return read_csv(spark, source, CORRUPT)
        return (_read_parquet if file_format == "parquet" else _read_jsonl)(spark, source)


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
            first_line = text.splitlines()[0][:300]
            raise InputError(
                f"catalogue.path {source.path}: can't be read: {first_line}"
            ) from error
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
    path = spark_path(source.root)
    # Spark refuses queries on the corrupt column alone when the schema was inferred.
    return reader.schema(reader.json(path).schema).json(path)
