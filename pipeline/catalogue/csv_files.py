"""Reading CSV: quotes, line breaks in fields, headers as spreadsheets and pandas write them."""

import csv
import re
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from pipeline.catalogue.files import (
    CORRUPT,
    CORRUPT_REASON,
    Source,
    list_files,
    partition_columns,
    spark_options,
    spark_paths,
)
from pipeline.catalogue.names import is_tsv
from pipeline.catalogue.text_files import check_encoding, open_text
from pipeline.config.encodings import java_encoding, python_encoding
from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath
from pipeline.store.reason_codes import TOO_MANY_CELLS, UNCLOSED_QUOTE, UNREADABLE_ROW

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_GLOB = re.compile(r"[\\*?\[\]{}]")


@dataclass(frozen=True)
class Dialect:
    """How the fields of a CSV file are written.

    Attributes:
        delimiter: the character between fields.
        quote: the character around fields that hold delimiters or line breaks; empty for none.
    """

    delimiter: str
    quote: str

    @classmethod
    def of(cls, file: StoragePath, delimiter: str, quote: str) -> "Dialect":
        """The dialect of a file under the settings [catalogue] delimiter and quote."""
        if quote == "auto":
            quote = "" if is_tsv(file) else '"'
        return cls("\t" if is_tsv(file) else delimiter, quote)

    def options(self) -> dict[str, Any]:
        """The dialect as Python's csv module takes it."""
        quoting = csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote or None,
            "quoting": quoting,
        }


def read_csv(spark: "SparkSession", source: Source) -> "DataFrame":
    """The rows of the CSV files, all columns text.

    A row with fewer cells than the header gets nulls for those that are missing.

    Raises:
        InputError: a file has no header, another than the first, another encoding, or a name that
            Spark can't read.
    """
    from pyspark.sql.types import StringType, StructType

    files = list_files(source)
    globs = [str(file) for file in files if _GLOB.search(str(file))]
    if globs:
        raise InputError(
            f"catalogue.path {globs[0]}: Spark takes *, ?, [, ], {{, }} and \\ in a CSV file's "
            "path for a pattern; rename it"
        )
    dialects = {Dialect.of(file, source.delimiter, source.quote) for file in files}
    if len(dialects) > 1:
        raise InputError(
            f"catalogue.path {source.path}: holds both .csv and .tsv; write all files in one way"
        )
    dialect = dialects.pop()
    names = _columns(source)
    partitions = [name for name in partition_columns(source) if name not in names]
    schema = StructType()
    for name in [*names, *partitions, CORRUPT]:
        schema = schema.add(name, StringType())
    reader = spark.read.options(
        header="true",
        multiLine="true",
        quote=dialect.quote,
        escape=dialect.quote or "\\",
        sep=dialect.delimiter,
        encoding=java_encoding(source.encoding),
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        **spark_options(source),
    )
    rows = reader.schema(schema).csv(spark_paths(source))
    return _with_reasons(rows, names, dialect)


def _with_reasons(rows: "DataFrame", names: list[str], dialect: Dialect) -> "DataFrame":
    """Set CORRUPT and CORRUPT_REASON of the rows that can't be read, and of no others.

    A row that holds other rows, as a quotation mark in it is never closed, becomes its lines: each
    is one that can't be read.

    Args:
        rows: as Spark reads them: CORRUPT is the text of rows with fewer or more cells, too.
        names: the columns of the header.
        dialect: of the files.
    """
    from pyspark.sql import functions as F

    corrupt, unquoted = F.col(CORRUPT), _unquoted(F.col(CORRUPT), dialect)
    cells = F.regexp_count(unquoted, F.lit(re.escape(dialect.delimiter))) + 1
    # A line break outside quoted cells.
    is_torn = corrupt.isNotNull() & unquoted.rlike(r"[\r\n]+[^\r\n]")
    is_short = ~is_torn & (cells < len(names)) & _column(names[-1]).isNull()
    is_bad = corrupt.isNotNull() & ~is_short
    reason = F.when(cells > len(names), F.lit(TOO_MANY_CELLS)).otherwise(F.lit(UNREADABLE_ROW))
    text = F.coalesce(corrupt, F.concat_ws(dialect.delimiter, *map(_column, names)))
    if dialect.quote:
        is_torn |= corrupt.isNull() & _holds_rows(names, dialect)
    lines = F.split(F.trim(text, F.lit("\r\n")), r"[\r\n]+")
    folders = [name for name in rows.columns if name not in (*names, CORRUPT)]
    torn = F.col("_torn")
    exploded = rows.withColumn("_torn", is_torn).select(
        *(F.when(~torn, _column(name)).alias(name) for name in names),
        *map(_column, folders),
        F.when(torn, F.lit(UNCLOSED_QUOTE)).when(is_bad, reason).alias(CORRUPT_REASON),
        F.when(is_bad, corrupt).alias("_row"),
        F.explode_outer(F.when(torn, lines)).alias(CORRUPT),
    )
    return exploded.withColumn(CORRUPT, F.coalesce(CORRUPT, "_row")).drop("_row")


def _column(name: str) -> "Column":
    from pyspark.sql import functions as F

    return F.col(f"`{name.replace('`', '``')}`")


def _holds_rows(names: list[str], dialect: Dialect) -> "Column":
    """Whether a cell holds other rows, from a quotation mark to the next one.

    Spark leaves the first mark in such a cell; the cell has an odd number of marks, and a row's
    number of delimiters for each line break.
    """
    from pyspark.sql import functions as F

    quote, delimiter = F.lit(re.escape(dialect.quote)), F.lit(re.escape(dialect.delimiter))

    def is_torn(cell: "Column") -> "Column":
        breaks = F.regexp_count(cell, F.lit(r"[\r\n]+"))
        # Nearly all cells fail the first test, so that the others take no time.
        return F.coalesce(
            cell.startswith(dialect.quote)
            & (cell.contains("\n") | cell.contains("\r"))
            & (F.regexp_count(cell, quote) % 2 == 1)
            & (F.regexp_count(cell, delimiter) >= breaks * (len(names) - 1)),
            F.lit(False),
        )

    return reduce(or_, map(is_torn, map(_column, names)))


def _unquoted(row: "Column", dialect: Dialect) -> "Column":
    """The text of a row without its quoted cells."""
    from pyspark.sql import functions as F

    if not dialect.quote:
        return row
    # A doubled quotation mark is one of the text, or an empty cell: neither counts.
    row = F.replace(row, F.lit(2 * dialect.quote), F.lit(""))
    delimiter, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
    quoted = rf"(^|{delimiter}){quote}[^{quote}]*+{quote}(?={delimiter}|[\r\n]*\z)"
    return F.regexp_replace(row, quoted, "$1")


def _columns(source: Source) -> list[str]:
    """The columns of the catalogue's CSV files, under distinct names.

    Raises:
        InputError: a file has no header, or another one than the first.
    """
    first, header = None, None
    for file in list_files(source):
        other = _header(file, source)
        if other is None:
            # An empty file among others has no rows.
            continue
        first, header = first or file, header or other
        if other != header:
            raise InputError(
                f"catalogue.path {source.path}: the header of {file} is {', '.join(other)}, that "
                f"of {first} is {', '.join(header)}; give all files the same columns in one order"
            )
    if header is None:
        raise InputError(f"catalogue.path {source.path}: holds nothing; a header is needed")
    read_columns = {source.source_name(name) for name in source.item_columns}
    repeated = sorted({name for name in header if header.count(name) > 1 and name in read_columns})
    if repeated:
        raise InputError(f"catalogue.path {source.path}: columns come twice: {', '.join(repeated)}")
    return [
        name if name and name not in header[:position] else f"_c{position}"
        for position, name in enumerate(header)
    ]


def _header(file: StoragePath, source: Source) -> list[str] | None:
    """The header's cells; None if the file is empty."""
    dialect = Dialect.of(file, source.delimiter, source.quote)
    try:
        check_encoding(file, source)
        with open_text(file, python_encoding(source.encoding)) as text:
            return next(csv.reader(text, **dialect.options()), None)
    except (OSError, EOFError, csv.Error) as error:
        raise InputError(
            f"catalogue.path {source.path}: {file} can't be read as csv ({error}); is it whole, "
            "and of that format?"
        ) from error
