"""The lists table: which list each item is in, and the order that the rows are written in."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import to_binary

LISTED = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("probes", pa.binary()),
        ("vector", pa.binary()),
    ]
)
DDL = "item_id string, list int, probes binary, vector binary"
_SENT = LISTED.append(pa.field("hash", pa.int64()))

# From rows with vector binary (float16) and hash bigint to int32[n, m], the nearest lists of each,
# nearest first; of one column where nobody asks for the others.
Locate = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]

_ROWS_A_BATCH = 10_000


def send(
    batches: Iterator[pa.RecordBatch], locate: Locate, files: Plan
) -> Iterator[pa.RecordBatch]:
    """Put each item into its list, and send it to the file that the list is in.

    Args:
        batches: item_id string, vector binary (float16), hash bigint (of the vector).
        locate: gives the nearest lists.
        files: which lists come into one file.

    Yields:
        batches of parcels of LISTED and the hash, under the file.
    """
    for chunk in parcels.gathered(batches):
        nearest = locate(chunk)
        lists, hashes = nearest[:, 0].astype(np.int64), chunk["hash"].to_numpy()
        none = pa.nulls(len(lists), pa.binary())
        columns = [chunk["item_id"], pa.array(nearest[:, 0])]
        columns += [none if nearest.shape[1] == 1 else _bytes(nearest), chunk["vector"]]
        rows = pa.RecordBatch.from_arrays([*columns, chunk["hash"]], schema=_SENT)

        def some(taken: Int64, rows: pa.RecordBatch = rows) -> pa.RecordBatch:
            return rows.take(pa.array(taken))

        file = files.group[files.units(lists, hashes)]
        yield from parcels.pack(some, file, rows.nbytes // rows.num_rows)


def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the order of the lists, equal vectors together, then by id."""
    sent = [parcels.unpack(cell, _SENT) for _, cell in parcels.cells(batches)]
    if not sent:
        return
    rows = pa.concat_batches(sent)
    sent.clear()
    keys = [(name, "ascending") for name in ("list", "hash", "item_id")]
    order = pc.sort_indices(rows.select([name for name, _ in keys]), sort_keys=keys)
    rows = rows.drop_columns(["hash"])
    for start in range(0, len(order), _ROWS_A_BATCH):
        yield rows.take(order.slice(start, _ROWS_A_BATCH))


def _bytes(probes: npt.NDArray[np.int32]) -> pa.Array:
    """int[n, m] as a binary column, each row in little-endian int32."""
    rows = np.ascontiguousarray(probes, dtype="<i4")
    return to_binary(rows.reshape(-1).view(np.uint8), np.full(len(rows), 4 * rows.shape[1]))
