"""Parquet files that Python workers write themselves, with pyarrow.

If rows come out of a Python worker as Arrow batches, Spark would take each row apart and put it
together again; for vectors this takes longer than everything else. So each task writes its rows to
one file under a unique name and returns the name to the driver. The driver deletes all files whose
names were not returned, so that tasks may be repeated.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.paths import StoragePath, staged_file
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SUFFIX = ".parquet"

Run = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Rows:
    """Rows that Python workers compute.

    Attributes:
        frame: the frame that the workers read.
        run: computes the rows from batches of the frame.
    """

    frame: "DataFrame"
    run: Run

    def table(self, name: str) -> "DataFrame":
        """The rows as a frame with a table's schema, for Spark's own operators."""
        return self.frame.mapInArrow(self.run, schemas.ddl(schemas.SCHEMAS[name]))


def write(
    parts: Sequence[Rows],
    folder: StoragePath,
    schema: pa.Schema,
    *,
    row_group_bytes: int,
    plain: Sequence[str] = (),
) -> None:
    """Write rows, one file for each task that has any; without rows, one empty file.

    Args:
        parts: the rows, with the columns of the schema.
        folder: the folder for the files; it is created.
        schema: the schema of the files.
        row_group_bytes: approximate size of a row group, in bytes of rows in memory.
        plain: columns that hold vectors. They get no dictionary and no statistics: their values
            hardly repeat, and no reader filters by them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = [name for name in schema.names if name not in plain]
    written: set[str] = set()
    for part in parts:
        task = _write_task(part.run, folder, schema, row_group_bytes, encoded)
        # One row for each task.
        rows = part.frame.mapInArrow(task, "file string").collect()
        written |= {row["file"] for row in rows}
    for path in folder.iterdir():
        if path.name.endswith(_SUFFIX) and path.name not in written:
            path.unlink()
    if not written:
        with staged_file(folder / f"part-00000{_SUFFIX}") as empty:
            pq.write_table(schema.empty_table(), empty)


def write_rows(rows: list[dict[str, Any]], folder: StoragePath, schema: pa.Schema) -> None:
    """Write rows that this process holds to one file."""
    folder.mkdir(parents=True, exist_ok=True)
    with staged_file(folder / f"part-00000{_SUFFIX}") as path:
        pq.write_table(
            pa.Table.from_pylist(rows, schema), path, compression="zstd", write_page_checksum=True
        )


def _write_task(
    run: Run, folder: StoragePath, schema: pa.Schema, row_group_bytes: int, encoded: Sequence[str]
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
        with (
            staged_file(folder / name) as path,
            pq.ParquetWriter(
                path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=list(encoded),
                write_statistics=list(encoded),
                write_page_checksum=True,
            ) as writer,
        ):
            for group in chain([first], groups):
                writer.write_table(group, row_group_size=group.num_rows)
        yield pa.RecordBatch.from_pydict({"file": [name]})

    return task


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
