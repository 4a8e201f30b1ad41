"""Questions: a text on the command line, or the rows of a file, in batches."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.catalogue.files import ENDINGS
from pipeline.errors import InputError, UsageError
from pipeline.query.spark_format import is_blank
from pipeline.storage.paths import StoragePath, arrow_path
from pipeline.store.schemas import ITEMS

# Rows of a file that are answered together.
BATCH_ROWS = 10_000
SCHEMA = pa.schema([("row", pa.int64()), *ITEMS])
_BLOCK_BYTES = 8 << 20

Row = Mapping[str, Any]


def single(title: str | None, description: str | None, columns: Sequence[str]) -> pa.RecordBatch:
    """One question, from the command line.

    Args:
        title: the title.
        description: the description.
        columns: NAME=VALUE, other columns of the item, for rules.

    Returns:
        one row of SCHEMA.

    Raises:
        UsageError: a column is unknown, or its value has to be a number and is none.
    """
    row: dict[str, Any] = {"row": 1, "title": title, "description": description}
    for argument in columns:
        name, equals, value = argument.partition("=")
        if not equals or name not in ITEMS.names:
            raise UsageError(
                f"--column {argument}: write it as NAME=VALUE; names are {', '.join(ITEMS.names)}"
            )
        try:
            row[name] = float(value) if ITEMS.field(name).type == pa.float64() else value
        except ValueError:
            raise UsageError(f"--column {argument}: {name} has to be a number") from None
    return _batch([row])


def read(path: Path, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV, JSON Lines or Parquet file, in order, as batches of SCHEMA.

    Rows are counted from 1. A price or stock that is no number counts as missing, as it does in a
    catalogue.

    Args:
        path: the file; its name says the format.
        names: nitamono's column -> the file's column; a column that the file does not have is
            looked for under nitamono's name.

    Raises:
        UsageError: there is no such file, or its name does not tell the format.
        InputError: the file or a row can't be read, or it has neither title nor description.
    """
    kind = next((ENDINGS[end] for end in reversed(path.suffixes) if end in ENDINGS), None)
    if kind is None:
        raise UsageError(f"--file {path}: name it .csv, .jsonl or .parquet, by its format")
    if not path.is_file():
        raise UsageError(f"--file {path}: no such file")
    reader = {"csv": csv_rows, "jsonl": jsonl_rows, "parquet": parquet_rows}[kind]
    number, rows = 0, []
    try:
        for row in reader(path):
            number += 1
            if number == 1:
                _check_columns(row, names, path)
            rows.append(_question(row, names, number))
            if len(rows) == BATCH_ROWS:
                yield _batch(rows)
                rows = []
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        first_line = str(error).splitlines()[0][:300]
        counting = " (the header is row 1)" if kind == "csv" else ""
        raise InputError(f"--file {path}: can't be read: {first_line}{counting}") from error
    if rows:
        yield _batch(rows)


def _check_columns(row: Row, names: Mapping[str, str], path: Path) -> None:
    renamed = {name for name, file_name in names.items() if file_name in row}
    if not {"title", "description"} & {*row, *renamed}:
        raise InputError(
            f"--file {path}: has neither title nor description; its columns: {', '.join(row)}"
        )


def _question(row: Row, names: Mapping[str, str], number: int) -> dict[str, Any]:
    question: dict[str, Any] = {"row": number}
    for field in ITEMS:
        value = row.get(names.get(field.name, field.name), row.get(field.name))
        question[field.name] = _to_number(value) if field.type == pa.float64() else to_text(value)
    return question


def to_text(value: object) -> str | None:
    """A value of a file as text; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _to_number(value: object) -> float | None:
    if value is None or (isinstance(value, str) and is_blank(value)):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def csv_rows(path: StoragePath) -> Iterator[Row]:
    """The rows of a CSV file, all text; an empty value without quotation marks is missing."""
    from pyarrow import csv as arrow_csv

    with _open(path) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        delimiter = "\t" if ".tsv" in path.suffixes else ","
        header = next(csv.reader(lines, delimiter=delimiter), None)
    if not header:
        raise InputError(f"--file {path}: is empty; a header is needed")
    with _open(path) as stream:
        reader = arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=header, skip_rows=1
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield from batch.to_pylist()


def jsonl_rows(path: StoragePath) -> Iterator[Row]:
    """The objects of a JSON Lines file."""
    with _open(path) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
        for number, line in enumerate(lines, 1):
            if is_blank(line):
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"--file {path}, line {number}: no JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"--file {path}, line {number}: no JSON object")
            yield row


def parquet_rows(path: StoragePath) -> Iterator[Row]:
    """The rows of a Parquet file."""
    import pyarrow.parquet as pq

    system, base = arrow_path(path)
    with pq.ParquetFile(base, filesystem=system) as file:
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            yield from batch.to_pylist()


def _open(path: StoragePath) -> Any:  # noqa: ANN401 - Arrow's stream
    system, base = arrow_path(path)
    return system.open_input_stream(base, compression="detect")


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
