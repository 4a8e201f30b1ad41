"""Arrow record batches packed into one binary cell each, so that many rows travel as one.

Spark pays for every row that it reads, sorts, shuffles and hands to Python, whatever the row holds.
A cell with a thousand rows is paid for once. A packed batch has two columns: `key` says where the
cell goes (a group, a file or a part of the merge), `rows` is an Arrow record batch, serialised. An
empty cell only announces its key.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval.ranking import Int64

SCHEMA = pa.schema([("key", pa.int64()), ("rows", pa.binary())])

# Bytes of rows that are put together before they are packed: the more, the larger the cells.
COALESCED_BYTES = 64 << 20
# The size of a cell, about: one row of Spark should not be much larger.
CELL_BYTES = 1 << 18
BATCH_BYTES = 16 << 20


def coalesce(
    batches: Iterator[pa.RecordBatch], max_bytes: int = COALESCED_BYTES
) -> Iterator[pa.RecordBatch]:
    """Concatenate batches until they have about `max_bytes`; leave empty ones out."""
    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            pending.append(batch)
            size += batch.nbytes
        if size >= max_bytes:
            yield pa.concat_batches(pending)
            pending, size = [], 0
    if pending:
        yield pa.concat_batches(pending)


def concat(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Concatenate batches of one schema; without any batch, the result has no rows."""
    return pa.concat_batches([pa.RecordBatch.from_pylist([], schema=schema), *batches])


def take_from(
    rows: pa.RecordBatch, sources: Int64 | None = None
) -> Callable[[Int64], pa.RecordBatch]:
    """A function for `pack` that copies rows of a batch only when a cell is filled with them.

    Args:
        rows: the batch.
        sources: int64[n], the row of the batch that each of the n packed rows is a copy of; None if
            every row is packed once.
    """

    def take(positions: Int64) -> pa.RecordBatch:
        return rows.take(pa.array(positions if sources is None else sources[positions]))

    return take


def pack(
    take: Callable[[Int64], pa.RecordBatch], keys: Int64, row_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Pack rows into cells, one or more for each key; the rows of one key keep their order.

    Args:
        take: gives the rows at some positions, so that they need not all be in memory at once.
        keys: int64[n], where each row goes.
        row_bytes: the size of a row, about.

    Yields:
        batches of SCHEMA.
    """
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=sorted_keys[:1] - 1))
    ends = np.append(starts[1:], len(keys))
    rows_per_cell = max(1, CELL_BYTES // max(row_bytes, 1))
    cell_keys: list[int] = []
    cells: list[bytes] = []
    size = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=False):
        for first in range(start, end, rows_per_cell):
            rows = take(order[first : min(first + rows_per_cell, end)])
            cell_keys.append(int(sorted_keys[start]))
            cells.append(rows.serialize().to_pybytes())
            size += len(cells[-1])
            if size >= BATCH_BYTES:
                yield _batch(cell_keys, cells)
                cell_keys, cells, size = [], [], 0
    if cells:
        yield _batch(cell_keys, cells)


def _batch(keys: list[int], cells: list[bytes]) -> pa.RecordBatch:
    columns = [pa.array(keys, pa.int64()), pa.array(cells, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def iter_cells(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.Buffer]]:
    """Yield the key and the bytes of each cell of batches of SCHEMA."""
    for batch in batches:
        for key, cell in zip(batch["key"].to_pylist(), batch["rows"], strict=True):
            yield key, cell.as_buffer()


def iter_keys(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Yield each key with an iterator over its cells' rows, unpacked one cell at a time.

    Args:
        batches: of SCHEMA, sorted by key.
        schema: of the packed rows.
    """
    for key, cells in itertools.groupby(iter_cells(batches), key=lambda cell: cell[0]):
        yield key, (unpack(cell, schema) for _, cell in cells if len(cell))


def unpack(cell: pa.Buffer, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of a cell that `pack` has made; no value is copied."""
    return pa.ipc.read_record_batch(cell, schema)
