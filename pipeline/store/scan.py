"""A scan: the tasks of a job read the files of a table themselves, with pyarrow.

Spark would decode each file in the JVM, take it apart into rows, and put these together again for
the Python worker. Where a worker reads all rows of a table and no operator of Spark's is needed
before it, that costs more than the work itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.paths import StoragePath, arrow_path
from pipeline.store import file_list
from pipeline.store.arrow_files import Rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A batch has at most so many rows, and about so many bytes.
_BATCH_ROWS = 5_000
_BATCH_BYTES = 64 << 20
# A file is not cut into parts with fewer rows.
_MIN_PART_ROWS = 500


@dataclass(frozen=True)
class Part:
    """Rows of a file that one task reads.

    Attributes:
        file: its path in the folder of the table.
        start: number of the first row.
        end: number of the row after the last one.
    """

    file: str
    start: int
    end: int


@dataclass(frozen=True)
class Scan:
    """The files of a table, read by the tasks of a job.

    Attributes:
        folder: the folder of the table.
        parts: what each task reads.
        columns: the columns.
    """

    folder: StoragePath
    parts: tuple[Part, ...]
    columns: tuple[str, ...]

    def rows(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows of one part, in batches; called on an executor.

        Raises:
            DamagedError: the file can't be read.
            FileNotFoundError: it is gone.
        """
        part = self.parts[number]
        system, base = arrow_path(self.folder)
        with file_list.open_parquet(f"{base}/{part.file}", system) as file:
            first = 0
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                if first < part.end and end > part.start:
                    batches = file.iter_batches(
                        _BATCH_ROWS, row_groups=[group], columns=self.columns, use_threads=False
                    )
                    yield from _cut(batches, part.start - first, part.end - first)
                first = end


# The layer that a row is in: see pipeline.store.layers.
LAYER = pa.field("layer", pa.int32())


@dataclass(frozen=True)
class ItemRows:
    """What is read of a few items.

    Attributes:
        ids: string[n], their ids; each of them is in the version that is read.
        columns: the columns that are read.
        run: makes of these rows what is wanted of them.
        schema: of what is wanted.
    """

    ids: pa.Array
    columns: tuple[str, ...]
    run: Callable[[pa.RecordBatch], pa.RecordBatch]
    schema: pa.Schema

    def read(self, folder: StoragePath, name: str, layer: int) -> Iterator[pa.RecordBatch]:
        """The rows of one file, with the layer that it belongs to; called on an executor."""
        system, base = arrow_path(folder)
        with file_list.open_parquet(f"{base}/{name}", system) as file:
            for group in range(file.num_row_groups):
                # Whole groups, because each lookup makes a table of all ids.
                table = file.read_row_group(group, columns=self.columns, use_threads=False)
                found = table.filter(pc.is_in(table["item_id"], self.ids)).combine_chunks()
                for rows in found.to_batches(_BATCH_ROWS):
                    layers = pa.array([layer] * rows.num_rows, LAYER.type)
                    yield self.run(rows).cast(self.schema).append_column(LAYER, layers)


def plan_parts(files: Sequence[tuple[str, int]], tasks: int) -> tuple[Part, ...]:
    """What each task of a scan reads: whole files, or parts of them if there are few files.

    Args:
        files: path and number of rows of each file.
        tasks: how many tasks there should be at least, if there are enough rows.
    """
    total = sum(rows for _, rows in files)
    size = max(_MIN_PART_ROWS, -(-total // max(tasks, 1)))
    parts = []
    for file, rows in files:
        count = -(-rows // size)
        bounds = [rows * number // count for number in range(count + 1)] if count else []
        parts += [Part(file, *both) for both in pairwise(bounds)]
    return tuple(parts)


def rows_of_tasks(
    spark: "SparkSession",
    count: int,
    read: Callable[[int], Iterator[pa.RecordBatch]],
    tasks: int | None = None,
) -> Rows:
    """Rows that tasks read by themselves, by number.

    Args:
        spark: the session.
        count: how many numbers there are, from 0.
        read: reads the rows of a number, on an executor.
        tasks: how many tasks share the numbers; as many as there are numbers by default.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch["id"].to_pylist():
                yield from read(number)

    partitions = max(1, min(tasks or count, count))
    return Rows(spark.range(0, count, numPartitions=partitions), run)


def _cut(batches: Iterator[pa.RecordBatch], start: int, end: int) -> Iterator[pa.RecordBatch]:
    """The rows from one position up to another, in batches of a bounded size."""
    position = 0
    for batch in batches:
        first, last = max(start - position, 0), min(end - position, batch.num_rows)
        position += batch.num_rows
        if first >= last:
            continue
        rows = batch.slice(first, last - first)
        step = max(1, rows.num_rows * _BATCH_BYTES // max(rows.nbytes, 1))
        for at in range(0, rows.num_rows, step):
            yield rows.slice(at, step)
