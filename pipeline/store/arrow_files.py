"""Parquet files that Python workers write themselves, with pyarrow.

Where rows come out of a Python worker as Arrow batches, Spark would take each apart and put it
together again: for vectors that takes longer than everything else. A task writes its rows to one
file under a name of its own and tells it; only files that were told of stay, so tasks may be
repeated.
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

_ENDING = ".parquet"

Run = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Rows:
    """Rows that Python workers make.

    Attributes:
        frame: what they read.
        run: what they make of its batches.
    """

    frame: "DataFrame"
    run: Run

    def table(self, name: str) -> "DataFrame":
        """The rows as a frame of a table's schema: what reads it is no Python worker's."""
        return self.frame.mapInArrow(self.run, schemas.ddl(schemas.SCHEMAS[name]))


def write(
    parts: Sequence[Rows],
    folder: StoragePath,
    schema: pa.Schema,
    *,
    row_group_bytes: int,
    plain: Sequence[str] = (),
) -> None:
    """Write rows, a file a task.

    Args:
        parts: the rows, of the schema.
        folder: where the files come; it is made.
        schema: of the files.
        row_group_bytes: of rows as they lie in memory, about.
        plain: columns of vectors: their values hardly repeat, and nobody asks for the least.
    """
    folder.mkdir(parents=True, exist_ok=True)
    others = [name for name in schema.names if name not in plain]
    kept: set[str] = set()
    for part in parts:
        task = _write_task(part.run, folder, schema, row_group_bytes, others)
        # One row a task.
        told = part.frame.mapInArrow(task, "file string").collect()
        kept |= {row["file"] for row in told}
    for path in folder.iterdir():
        if path.name.endswith(_ENDING) and path.name not in kept:
            path.unlink()
    if not kept:
        with staged_file(folder / f"part-00000{_ENDING}") as empty:
            pq.write_table(schema.empty_table(), empty)


def write_rows(rows: list[dict[str, Any]], folder: StoragePath, schema: pa.Schema) -> None:
    """Write rows that this process holds, to one file."""
    folder.mkdir(parents=True, exist_ok=True)
    with staged_file(folder / f"part-00000{_ENDING}") as path:
        pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _write_task(
    run: Run, folder: StoragePath, schema: pa.Schema, row_group_bytes: int, encoded: Sequence[str]
) -> Run:
    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        number = context.partitionId() if context else 0
        name = f"part-{number:05d}-{uuid.uuid4().hex}{_ENDING}"
        groups = _grouped(run(batches), schema, row_group_bytes)
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
            ) as writer,
        ):
            for group in chain([first], groups):
                writer.write_table(group, row_group_size=group.num_rows)
        yield pa.RecordBatch.from_pydict({"file": [name]})

    return task


def _grouped(batches: Iterator[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Batches put together to row groups."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(batch.select(schema.names).cast(schema))
        size += batch.nbytes
        if size >= most:
            yield pa.Table.from_batches(held)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held)
