"""Reading CSV: quotes, line breaks in fields, headers as spreadsheets and pandas write them."""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.catalogue.files import files, reading_options
from pipeline.encodings import java_encoding, python_encoding
from pipeline.errors import InputError
from pipeline.sections import CatalogueSection
from pipeline.store import spark_path
from pipeline.tables import ITEMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PATTERN = re.compile(r"[\\*?\[\]{}]")


def read_csv(spark: "SparkSession", section: CatalogueSection, corrupt: str) -> "DataFrame":
    """The CSV files as they stand, all columns text; rows that can't be read fill only `corrupt`.

    Raises:
        InputError: a file has no header, another than the first, or a name that Spark can't read.
    """
    from pyspark.sql.types import StringType, StructType

    odd = [str(file) for file in files(section) if _PATTERN.search(str(file))]
    if odd:
        raise InputError(
            f"catalogue.path {odd[0]}: Spark takes *, ?, [, ], {{, }} and \\ in a CSV file's path "
            "for a pattern; rename it"
        )
    schema = StructType()
    for name in [*_columns(section), corrupt]:
        schema = schema.add(name, StringType())
    reader = spark.read.options(
        header="true",
        multiLine="true",
        quote='"',
        escape='"',
        sep=_delimiter(section),
        encoding=java_encoding(section.encoding),
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=corrupt,
        **reading_options(section),
    )
    return reader.schema(schema).csv(spark_path(Path(section.path)))


def _delimiter(section: CatalogueSection) -> str:
    return "\t" if ".tsv" in files(section)[0].suffixes else section.delimiter


def _columns(section: CatalogueSection) -> list[str]:
    """The columns of the catalogue's CSV files, under distinct names.

    Raises:
        InputError: a file has no header, or another one than the first.
    """
    every = files(section)
    first = _header(every[0], section)
    for file in every[1:]:
        if (other := _header(file, section)) != first:
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


def _header(file: Path, section: CatalogueSection) -> list[str]:
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
