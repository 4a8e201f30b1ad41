"""Questions: a text on the command line, or the rows of a file, in batches."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.catalogue.csv_files import Dialect
from pipeline.catalogue.names import format_by_name
from pipeline.catalogue.text_files import open_bytes, open_text
from pipeline.config.encodings import python_encoding
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError, UsageError
from pipeline.query.spark_casts import TYPE_NAMES, VALUES
from pipeline.query.spark_format import is_blank
from pipeline.storage.paths import StoragePath, arrow_path
from pipeline.store.schemas import items_schema

# Rows of a file that are answered together.
BATCH_ROWS = 10_000
_BLOCK_BYTES = 8 << 20

Row = Mapping[str, Any]


def schema(further: Mapping[str, str]) -> pa.Schema:
    """The columns of questions: the row's number, and those of the items table.

    Args:
        further: the types of the further columns.
    """
    return pa.schema([("row", pa.int64()), *items_schema(further)])


def single(
    title: str | None,
    description: str | None,
    columns: Sequence[str],
    further: Mapping[str, str],
) -> pa.RecordBatch:
    """One question, from the command line.

    Args:
        title: the title.
        description: the description.
        columns: NAME=VALUE, other columns of the item, for rules.
        further: the types of the further columns.

    Returns:
        one row of `schema`.

    Raises:
        UsageError: a column is unknown, or its value has to be a number and is none.
    """
    row: dict[str, Any] = {"row": 1, "title": title, "description": description}
    items = items_schema(further)
    for argument in columns:
        name, equals, value = argument.partition("=")
        if not equals or name not in items.names:
            raise UsageError(
                f"--column {argument}: write it as NAME=VALUE; names are {', '.join(items.names)}"
            )
        kind = items.field(name).type
        row[name] = VALUES[kind](value)
        if row[name] is None:
            raise UsageError(f"--column {argument}: {name} has to be {TYPE_NAMES[kind]}")
    return _batch([row], further)


def read(
    path: Path, section: CatalogueSection, further: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV, JSON Lines or Parquet file, in order, as batches of `schema`.

    Rows are counted from 1. A value that is not of its column's type counts as missing, as it does
    in a catalogue.

    Args:
        path: the file; its name says the format.
        section: how catalogues are written: their columns' names, encoding, delimiter, quotes. A
            column that the file does not have is looked for under nitamono's name.
        further: the types of the further columns of the version that is asked.

    Raises:
        UsageError: there is no such file, or its name does not tell the format.
        InputError: the file or a row can't be read, or it has neither title nor description.
    """
    kind = format_by_name(path)
    if not kind:
        raise UsageError(f"--file {path}: name it .csv, .jsonl or .parquet, by its format")
    if not path.is_file():
        raise UsageError(f"--file {path}: no such file")
    names = section.columns
    number, rows = 0, []
    try:
        for row in READERS[kind](path, section):
            number += 1
            if number == 1:
                _check_columns(row, names, path)
            rows.append(_question(row, names, number, further))
            if len(rows) == BATCH_ROWS:
                yield _batch(rows, further)
                rows = []
    except UnicodeDecodeError as error:
        raise InputError(
            f"--file {path}: is not {section.encoding} ({error.reason}); write it as catalogues "
            "are, or set catalogue.encoding"
        ) from error
    except (OSError, pa.ArrowInvalid, csv.Error) as error:
        first_line = str(error).splitlines()[0][:300]
        counting = " (the header is row 1)" if kind == "csv" else ""
        raise InputError(f"--file {path}: can't be read: {first_line}{counting}") from error
    if rows:
        yield _batch(rows, further)


def _check_columns(row: Row, names: Mapping[str, str], path: Path) -> None:
    renamed = {name for name, file_name in names.items() if file_name and file_name in row}
    if not {"title", "description"} & {*row, *renamed}:
        raise InputError(
            f"--file {path}: has neither title nor description; its columns: {', '.join(row)}"
        )


def _question(
    row: Row, names: Mapping[str, str], number: int, further: Mapping[str, str]
) -> dict[str, Any]:
    question: dict[str, Any] = {"row": number}
    for field in items_schema(further):
        file_name = names.get(field.name, field.name)
        value = row.get(file_name, row.get(field.name)) if file_name else None
        question[field.name] = VALUES[field.type](value)
    return question


def csv_rows(path: StoragePath, section: CatalogueSection) -> Iterator[Row]:
    """The rows of a CSV file, all text; an empty value without quotation marks is missing.

    So are the cells at the end that a row does not have.
    """
    dialect = Dialect.of(path, section.delimiter, section.quote)
    with open_text(path, python_encoding(section.encoding), errors="strict") as lines:
        header = next(csv.reader(lines, **dialect.options()), None)
    if not header:
        raise InputError(f"--file {path}: is empty; a header is needed")
    short_rows: dict[int, Row] = {}

    def pad(row: Any) -> str:  # noqa: ANN401 - Arrow's InvalidRow
        # A row with more cells, or over several lines, is an error.
        if row.actual_columns > row.expected_columns or "\n" in row.text.rstrip():
            return "error"
        cells = next(csv.reader([row.text], **dialect.options()))
        # The header is row 1.
        short_rows[row.number - 1] = dict(zip_longest(header, (cell or None for cell in cells)))
        return "skip"

    number = 1
    for batch in _arrow_batches(path, section, dialect, header, pad):
        for row in batch.to_pylist():
            while number in short_rows:
                yield short_rows.pop(number)
                number += 1
            yield row
            number += 1
    yield from (row for _, row in sorted(short_rows.items()))


def _arrow_batches(
    path: StoragePath,
    section: CatalogueSection,
    dialect: Dialect,
    header: list[str],
    handler: Callable[[Any], str],
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file that have all cells."""
    from pyarrow import csv as arrow_csv

    with open_bytes(path) as stream:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=header,
                skip_rows=1,
                encoding=python_encoding(section.encoding),
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                newlines_in_values=bool(dialect.quote),
                invalid_row_handler=handler,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def jsonl_rows(path: StoragePath, section: CatalogueSection) -> Iterator[Row]:
    """The objects of a JSON Lines file."""
    with open_text(path, python_encoding(section.encoding), errors="strict") as lines:
        for number, line in enumerate(lines, 1):
            if is_blank(line):
                continue
            try:
                # A run takes numbers as they are written too.
                row = json.loads(line, object_pairs_hook=_object, parse_int=str, parse_float=str)
            except ValueError as error:
                raise InputError(f"--file {path}, line {number}: no JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"--file {path}, line {number}: no JSON object")
            yield row


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key comes twice")
    return row


def parquet_rows(path: StoragePath, _: CatalogueSection) -> Iterator[Row]:
    """The rows of a Parquet file."""
    import pyarrow.parquet as pq

    system, base = arrow_path(path)
    with pq.ParquetFile(base, filesystem=system) as file:
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            # A string that is not UTF-8 can't become Python's.
            columns = [
                column.cast(pa.binary()) if pa.types.is_string(column.type) else column
                for column in batch.columns
            ]
            names = batch.schema.names
            yield from pa.RecordBatch.from_arrays(columns, names=names).to_pylist()


# The reader of each format.
READERS: dict[str, Callable[[StoragePath, CatalogueSection], Iterator[Row]]] = {
    "csv": csv_rows,
    "jsonl": jsonl_rows,
    "parquet": parquet_rows,
}


def _batch(rows: list[dict[str, Any]], further: Mapping[str, str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema(further))
