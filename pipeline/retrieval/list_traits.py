"""The candidates table: the lists table with the traits of each item, in the order of the lists."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.list_table import ReadLists
from pipeline.retrieval.loaded_group import groups_by_id
from pipeline.storage.list_schemas import CANDIDATES, LISTS, TRAITS

# The traits of an item, and the list that it is in.
LISTED_TRAITS = pa.schema([("item_id", pa.string()), ("list", pa.int32()), *TRAITS])


def send_to_files(batches: Iterator[pa.RecordBatch], files: GroupPlan) -> Iterator[pa.RecordBatch]:
    """Send rows of LISTED_TRAITS to the files that their lists are in.

    Yields:
        packed batches of LISTED_TRAITS, by file.
    """
    for batch in packed_batches.coalesce(batches):
        rows = batch.select(LISTED_TRAITS.names).cast(LISTED_TRAITS)
        row_bytes = max(1, rows.nbytes // rows.num_rows)
        take = packed_batches.take_from(rows)
        yield from packed_batches.pack(take, groups_by_id(rows, files), row_bytes)


def receive_files(
    batches: Iterator[pa.RecordBatch], files: GroupPlan, read_lists: ReadLists
) -> Iterator[pa.RecordBatch]:
    """The rows of the lists table, each with its traits.

    Args:
        batches: packed batches of `send_to_files`, sorted by key; an empty cell for every file.
        files: which lists each file has.
        read_lists: reads the lists table.

    Yields:
        batches of CANDIDATES, in the order of the lists.
    """
    for file, sent in packed_batches.iter_keys(batches, LISTED_TRAITS):
        traits = packed_batches.concat(sent, LISTED_TRAITS)
        for batch in read_lists(*files.list_range(file)):
            rows = batch.filter(pa.array(groups_by_id(batch, files) == file))
            matches = traits.take(pc.index_in(rows["item_id"], traits["item_id"]))
            columns = [rows[n] for n in LISTS.names] + [matches[n] for n in TRAITS.names]
            yield pa.RecordBatch.from_arrays(columns, CANDIDATES.names)
