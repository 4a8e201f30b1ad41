"""The lists table with what rules read of each item beside it, in the order of the lists."""

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.list_table import ReadLists
from pipeline.retrieval.loaded_group import units_of_rows
from pipeline.retrieval.ranking import Int64
from pipeline.storage.clustered_tables import CANDIDATES, LISTS, TRAITS

# What rules read of an item, and the list that it is in.
SENT = pa.schema([("item_id", pa.string()), ("list", pa.int32()), *TRAITS])


def send_to_files(batches: Iterator[pa.RecordBatch], files: GroupPlan) -> Iterator[pa.RecordBatch]:
    """Send rows of SENT to the files that their lists are in.

    Yields:
        batches of parcels of SENT, under the file.
    """
    for batch in packed_batches.coalesce(batches):
        rows = batch.select(SENT.names).cast(SENT)
        # In which part of a split list an item is nobody knows without its vector.
        sources, file = files.everywhere(rows["list"].to_numpy().astype(np.int64))

        def some(taken: Int64, rows: pa.RecordBatch = rows, of: Int64 = sources) -> pa.RecordBatch:
            return rows.take(pa.array(of[taken]))

        yield from packed_batches.pack(some, file, max(1, rows.nbytes // rows.num_rows))


def receive_files(
    batches: Iterator[pa.RecordBatch], files: GroupPlan, lists: ReadLists
) -> Iterator[pa.RecordBatch]:
    """The rows of the lists table, each with what rules read of it.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every file.
        files: which lists come into one file.
        lists: reads the lists table.

    Yields:
        batches of CANDIDATES, in the order of the lists.
    """
    for file, cells in itertools.groupby(
        packed_batches.iter_cells(batches), key=lambda cell: cell[0]
    ):
        nothing = pa.RecordBatch.from_pylist([], schema=SENT)
        sent = pa.concat_batches(
            [nothing, *(packed_batches.unpack(cell, SENT) for _, cell in cells if len(cell))]
        )
        for batch in lists(*files.lists(file)):
            mine = batch.filter(pa.array(files.group[units_of_rows(batch, files)] == file))
            found = sent.take(pc.index_in(mine["item_id"], sent["item_id"]))
            columns = [mine[name] for name in LISTS.names] + [found[n] for n in TRAITS.names]
            yield pa.RecordBatch.from_arrays(columns, CANDIDATES.names)
