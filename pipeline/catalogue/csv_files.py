"""Reading CSV: quotes, line breaks in fields, headers as spreadsheets and pandas write them."""

import csv
import io
import re
from typing import TYPE_CHECKING

from pipeline.catalogue.files import Source, list_files, spark_options
from pipeline.config.encodings import java_encoding, python_encoding
from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath, arrow_path, spark_path
from pipeline.store.schemas import ITEMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_GLOB = re.compile(r"[\\*?\[\]{}]")


def read_csv(spark: "SparkSession", source: Source, corrupt: str) -> "DataFrame":
    """The rows of the CSV files, all columns text; rows that can't be parsed fill `corrupt` only.

    Raises:
        InputError: a file has no header, another than the first, or a name that Spark can't read.
    """
    from pyspark.sql.types import StringType, StructType

    globs = [str(file) for file in list_files(source) if _GLOB.search(str(file))]
    if globs:
        raise InputError(
            f"catalogue.path {globs[0]}: Spark takes *, ?, [, ], {{, }} and \\ in a CSV file's "
            "path for a pattern; rename it"
        )
    schema = StructType()
    for name in [*_columns(source), corrupt]:
        schema = schema.add(name, StringType())
    reader = spark.read.options(
        header="true",
        multiLine="true",
        quote='"',
        escape='"',
        sep=_delimiter(source),
        encoding=java_encoding(source.encoding),
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=corrupt,
        **spark_options(source),
    )
    return reader.schema(schema).csv(spark_path(source.root))


def _delimiter(source: Source) -> str:
    return "\t" if ".tsv" in list_files(source)[0].suffixes else source.delimiter


def _columns(source: Source) -> list[str]:
    """The columns of the catalogue's CSV files, under distinct names.

    Raises:
        InputError: a file has no header, or another one than the first.
    """
    files = list_files(source)
    header = _header(files[0], source)
    for file in files[1:]:
        if (other := _header(file, source)) != header:
            raise InputError(
                f"catalogue.path {source.path}: the header of {file} is {', '.join(other)}, that "
                f"of {files[0]} is {', '.join(header)}; give all files the same columns in one "
                "order"
            )
    read_columns = {source.columns.get(name, name) for name in ITEMS.names}
    repeated = sorted({name for name in header if header.count(name) > 1 and name in read_columns})
    if repeated:
        raise InputError(f"catalogue.path {source.path}: columns come twice: {', '.join(repeated)}")
    return [
        name if name and name not in header[:position] else f"_c{position}"
        for position, name in enumerate(header)
    ]


def _header(file: StoragePath, source: Source) -> list[str]:
    encoding = python_encoding(source.encoding)
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        system, path = arrow_path(file)
        with system.open_input_stream(path, compression="detect") as stream:
            text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
            header = next(csv.reader(text, delimiter=_delimiter(source)), None)
    except (OSError, EOFError, csv.Error) as error:
        raise InputError(
            f"catalogue.path {source.path}: {file} can't be read as csv ({error}); is it whole, "
            "and of that format?"
        ) from error
    if not header:
        raise InputError(f"catalogue.path {file}: the file is empty; a header is needed")
    return header
