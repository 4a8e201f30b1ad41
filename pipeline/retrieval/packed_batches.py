"""Parcels: rows that go to the same place, packed as one Arrow record batch into one cell.

Spark pays for a row each time that it is read, sorted, shuffled and handed to Python, whatever the
row holds. A parcel of a thousand rows is paid for once.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA = pa.schema([("key", pa.int64()), ("rows", pa.binary())])

# Rows are gathered up to so many bytes before they are packed: the more, the larger the parcels.
COALESCED_BYTES = 64 << 20
# A parcel's size, about: a row of Spark's should not be much larger.
CELL_BYTES = 1 << 18
_BATCH_BYTES = 16 << 20


def coalesce(
    batches: Iterator[pa.RecordBatch], most: int = COALESCED_BYTES
) -> Iterator[pa.RecordBatch]:
    """Batches put together to about `most` bytes each; empty ones are left out."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            size += batch.nbytes
        if size >= most:
            yield pa.concat_batches(held)
            held, size = [], 0
    if held:
        yield pa.concat_batches(held)


def pack(
    rows: Callable[[npt.NDArray[np.int64]], pa.RecordBatch], keys: npt.NDArray[np.int64], size: int
) -> Iterator[pa.RecordBatch]:
    """Rows as parcels, one or more for each key; the rows of one key stay in their order.

    Args:
        rows: gives the rows at some positions, so that they need not all lie there at once.
        keys: int64[n], where each row goes.
        size: bytes of a row, about.

    Yields:
        batches of SCHEMA.
    """
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=sorted_keys[:1] - 1))
    ends = np.append(starts[1:], len(keys))
    rows_a_parcel = max(1, CELL_BYTES // max(size, 1))
    of_key: list[int] = []
    cells: list[bytes] = []
    filled = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=False):
        for first in range(start, end, rows_a_parcel):
            parcel = rows(order[first : min(first + rows_a_parcel, end)])
            of_key.append(int(sorted_keys[start]))
            cells.append(parcel.serialize().to_pybytes())
            filled += len(cells[-1])
            if filled >= _BATCH_BYTES:
                yield _batch(of_key, cells)
                of_key, cells, filled = [], [], 0
    if cells:
        yield _batch(of_key, cells)


def _batch(keys: list[int], cells: list[bytes]) -> pa.RecordBatch:
    columns = [pa.array(keys, pa.int64()), pa.array(cells, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def iter_cells(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.Buffer]]:
    """The key and the cell of each parcel in batches of SCHEMA."""
    for batch in batches:
        for key, cell in zip(batch["key"].to_pylist(), batch["rows"], strict=True):
            yield key, cell.as_buffer()


def unpack(cell: pa.Buffer, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of a parcel; no value is copied.

    Args:
        cell: what `pack` made.
        schema: of the rows.
    """
    return pa.ipc.read_record_batch(cell, schema)
