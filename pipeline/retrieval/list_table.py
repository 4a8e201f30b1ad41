"""The lists table: which list each item is in, and the order that the rows are written in."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import units_of_rows
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import binary_values, hash_vectors, to_binary
from pipeline.storage.clustered_tables import LISTS

# From rows with vector binary (float16) to int32[n, m], the nearest lists of each, nearest first;
# of one column where nobody asks for the others.
AssignLists = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]
# Reads the rows of the lists from one up to another, not included.
ReadLists = Callable[[int, int], Iterator[pa.RecordBatch]]

_ROWS_A_BATCH = 10_000


def assign_items(
    batches: Iterator[pa.RecordBatch], locate: AssignLists
) -> Iterator[pa.RecordBatch]:
    """Put each item into its list.

    Args:
        batches: item_id string, vector binary (float16).
        locate: gives the nearest lists.

    Yields:
        batches of LISTS.
    """
    for chunk in packed_batches.coalesce(batches):
        nearest = locate(chunk)
        none = pa.nulls(len(nearest), pa.binary())
        probes = none if nearest.shape[1] == 1 else _encode_probes(nearest)
        columns = [chunk["item_id"], pa.array(nearest[:, 0]), probes, chunk["vector"]]
        yield pa.RecordBatch.from_arrays(columns, schema=LISTS)


def send_to_files(batches: Iterator[pa.RecordBatch], files: GroupPlan) -> Iterator[pa.RecordBatch]:
    """Send rows to the files that their lists are in.

    Args:
        batches: of LISTS; a row without a vector says that this item has left its list.
        files: which lists come into one file.

    Yields:
        batches of parcels of LISTS, under the file.
    """
    for rows in packed_batches.coalesce(batches):
        there = np.asarray(rows["vector"].is_valid())
        stays = rows.filter(pa.array(there))
        leaves = rows.filter(pa.array(~there))
        # Which part of a split list an item was in nobody knows without its vector.
        sources, file = files.everywhere(leaves["list"].to_numpy().astype(np.int64))
        sent = pa.concat_batches([stays, leaves.take(pa.array(sources))])
        place = np.concatenate([files.group[units_of_rows(stays, files)], file])

        def some(taken: Int64, sent: pa.RecordBatch = sent) -> pa.RecordBatch:
            return sent.take(pa.array(taken))

        yield from packed_batches.pack(some, place, max(1, sent.nbytes // sent.num_rows))


def receive_files(
    batches: Iterator[pa.RecordBatch], files: GroupPlan, before: ReadLists
) -> Iterator[pa.RecordBatch]:
    """The rows of files, those of an earlier night with what has come and without what has left.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every file.
        files: which lists come into one file.
        before: the earlier night's rows.

    Yields:
        batches of LISTS, in the order of the lists, equal vectors together, then by id.
    """
    for file, cells in itertools.groupby(
        packed_batches.iter_cells(batches), key=lambda cell: cell[0]
    ):
        nothing = pa.RecordBatch.from_pylist([], schema=LISTS)
        sent = [packed_batches.unpack(cell, LISTS) for _, cell in cells if len(cell)]
        came = pa.concat_batches([nothing, *sent])
        sent.clear()
        left = came.filter(came["vector"].is_null())["item_id"]
        rows = [nothing, came.filter(came["vector"].is_valid())]
        for batch in before(*files.lists(file)):
            mine = files.group[units_of_rows(batch, files)] == file
            gone = pc.is_in(batch["item_id"], left)
            some = batch.filter(pc.and_(pa.array(mine), pc.invert(gone)))
            rows.append(some.select(LISTS.names).cast(LISTS))
        yield from _sort_rows(pa.concat_batches(rows))


def _sort_rows(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    keyed = pa.table(
        {
            "list": rows["list"],
            "hash": pa.array(hash_vectors(rows["vector"])),
            "item_id": rows["item_id"],
        }
    )
    order = pc.sort_indices(keyed, sort_keys=[(name, "ascending") for name in keyed.column_names])
    for start in range(0, len(order), _ROWS_A_BATCH):
        yield rows.take(order.slice(start, _ROWS_A_BATCH))


def probe_pairs(
    batches: Iterator[pa.RecordBatch], nlist: int, width: int
) -> Iterator[pa.RecordBatch]:
    """Which lists are probed from which: the pairs of a list and one that its items probe.

    Args:
        batches: list int, probes binary.
        nlist: number of lists.
        width: how many of its nearest lists an item probes.

    Yields:
        batches of home int, probed int; a pair may come more than once.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        probes = decode_probes(batch["probes"])[:, :width].astype(np.int64)
        pairs = np.unique(batch["list"].to_numpy().astype(np.int64)[:, None] * nlist + probes)
        columns = [pa.array((part).astype(np.int32)) for part in np.divmod(pairs, nlist)]
        yield pa.RecordBatch.from_arrays(columns, ["home", "probed"])


def decode_probes(column: pa.Array) -> npt.NDArray[np.int32]:
    """The nearest lists of items as the lists table has them: int32[n, m], nearest first."""
    values: npt.NDArray[np.int32] = binary_values(column).view("<i4").reshape(len(column), -1)
    return values


def _encode_probes(probes: npt.NDArray[np.int32]) -> pa.Array:
    """int[n, m] as a binary column, each row in little-endian int32."""
    rows = np.ascontiguousarray(probes, dtype="<i4")
    return to_binary(rows.reshape(-1).view(np.uint8), np.full(len(rows), 4 * rows.shape[1]))
