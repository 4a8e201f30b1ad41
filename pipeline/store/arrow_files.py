"""Parquet files that Python workers write themselves, with pyarrow.

If rows come out of a Python worker as Arrow batches, Spark would take each row apart and put it
together again; for vectors this takes longer than everything else. So each task writes its rows to
one file under a unique name and returns its name, size and checksum to the driver, with the number
of its rows and other sums over them: no job reads the table again to count. The driver writes the
list of these files last (see pipeline.store.file_list), so that tasks may be repeated.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.paths import StoragePath, staged_file
from pipeline.store import file_list, schemas
from pipeline.store.file_list import File

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SUFFIX = ".parquet"
# What a task returns: the fields of a File, the number of its rows, and sums over them.
_RESULT = "name string, bytes long, sha256 string, rows long, sums map<string, long>"
_FIELDS = ("name", "bytes", "sha256", "rows")
_SUMS = pa.map_(pa.string(), pa.int64())

Run = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
# Numbers of some rows of a table, by name; they are summed over all its rows.
Count = Callable[[pa.Table], Mapping[str, int]]


@dataclass(frozen=True)
class Rows:
    """Rows that Python workers compute.

    Attributes:
        frame: the frame that the workers read.
        run: computes the rows from batches of the frame.
    """

    frame: "DataFrame"
    run: Run

    def map(self, run: Run) -> "Rows":
        """Rows that the same workers compute from these."""
        before = self.run
        return Rows(self.frame, lambda batches: run(before(batches)))

    def table(self, name: str, schema: pa.Schema | None = None) -> "DataFrame":
        """The rows as a frame for Spark's own operators.

        Args:
            name: the table.
            schema: of a table with more columns than its own; None for those.
        """
        return self.frame.mapInArrow(self.run, schemas.ddl(schema or schemas.SCHEMAS[name]))


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        files: the files; none if there are no rows.
        sums: the sums over all rows of the numbers that were counted; those of no row are missing.
    """

    files: list[File]
    sums: Counter[str]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(file.rows for file in self.files)


def count_nothing(_: pa.Table) -> dict[str, int]:
    """No numbers."""
    return {}


def write(
    parts: Sequence[Rows],
    folder: StoragePath,
    schema: pa.Schema,
    *,
    row_group_bytes: int,
    plain: Sequence[str] = (),
    count: Count = count_nothing,
) -> Written:
    """Write rows, one file for each task that has any.

    Args:
        parts: the rows, with the columns of the schema.
        folder: the folder for the files; it is created.
        schema: the schema of the files.
        row_group_bytes: approximate size of a row group, in bytes of rows in memory.
        plain: columns that hold vectors. They get no dictionary and no statistics: their values
            hardly repeat, and no reader filters by them. Those in binary (float16) are compressed
            by LZ4, which is read twice as fast as Zstandard: it shrinks zeros and equal vectors,
            and dense vectors not at all, as Zstandard does by a twelfth.
        count: gives the numbers of some rows that are summed. There are few names, whatever the
            number of rows: the sums are collected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = [name for name in schema.names if name not in plain]
    codecs = {
        path: "lz4" if path in plain else "zstd" for field in schema for path in _leaf_paths(field)
    }
    properties = {
        "compression": codecs,
        "compression_level": {path: 1 for path, codec in codecs.items() if codec == "zstd"},
        "use_dictionary": encoded,
        "write_statistics": encoded,
        "write_page_checksum": True,
    }
    written = Written([], Counter())
    for part in parts:
        task = _write_task(part.run, folder, schema, row_group_bytes, properties, count)
        # One row for each task.
        for row in part.frame.mapInArrow(task, _RESULT).collect():
            written.files.append(File(row["name"], row["bytes"], row["sha256"], row["rows"]))
            written.sums.update(row["sums"])
    return written


def remove_others(folder: StoragePath, names: Collection[str]) -> None:
    """Remove what repeated tasks have left so far; what comes later is in no list either."""
    for path in folder.iterdir():
        if path.name.endswith(_SUFFIX) and path.name not in names:
            path.unlink()


def write_table(table: pa.Table, folder: StoragePath) -> File:
    """Write rows that this process holds to one file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"part-00000{_SUFFIX}"
    with staged_file(folder / name) as path:
        pq.write_table(table, path, compression="zstd", write_page_checksum=True)
        return file_list.describe(path, name, rows=table.num_rows)


def _write_task(
    run: Run,
    folder: StoragePath,
    schema: pa.Schema,
    row_group_bytes: int,
    properties: Mapping[str, Any],
    count: Count,
) -> Run:
    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = context.partitionId() if context else 0
        name = f"part-{partition:05d}-{uuid.uuid4().hex}{_SUFFIX}"
        groups = _row_groups(run(batches), schema, row_group_bytes)
        first = next(groups, None)
        if first is None:
            return
        row_count, sums = 0, Counter[str]()
        with staged_file(folder / name) as path:
            with pq.ParquetWriter(path, schema, **properties) as writer:
                for group in chain([first], groups):
                    writer.write_table(group, row_group_size=group.num_rows)
                    row_count += group.num_rows
                    sums.update(count(group))
            file = file_list.describe(path, name, rows=row_count)
        result = pa.RecordBatch.from_pylist([{name: getattr(file, name) for name in _FIELDS}])
        yield result.append_column("sums", pa.array([list(sums.items())], _SUMS))

    return task


def _leaf_paths(field: pa.Field) -> list[str]:
    """The paths of the columns of a Parquet file that a field becomes.

    Raises:
        TypeError: it has nested values of another kind than lists and structs.
    """
    if pa.types.is_list(field.type):
        inner, prefix = [field.type.value_field.with_name("element")], f"{field.name}.list"
    elif pa.types.is_struct(field.type):
        inner, prefix = list(field.type), field.name
    elif pa.types.is_nested(field.type):
        raise TypeError(f"column {field.name}: no table has columns of {field.type}")
    else:
        return [field.name]
    return [f"{prefix}.{path}" for child in inner for path in _leaf_paths(child)]


def _row_groups(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, min_bytes: int
) -> Iterator[pa.Table]:
    """Join batches until they have enough bytes for a row group."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        group.append(batch.select(schema.names).cast(schema))
        size += batch.nbytes
        if size >= min_bytes:
            yield pa.Table.from_batches(group)
            group, size = [], 0
    if group:
        yield pa.Table.from_batches(group)
