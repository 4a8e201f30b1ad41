"""The lists table: which list each item is in. Its rows are written in the order of the lists."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import groups_by_id
from pipeline.retrieval.vectors import binary_values, hash_vectors, to_binary
from pipeline.storage.list_schemas import LISTS

# From rows with the column vector, binary (float16), to int32[n, m]: the m nearest lists of each,
# nearest first. m is 1 if every list is searched, so that nobody reads the others.
AssignLists = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]
# Reads the rows of the lists from one number up to another, not included.
ReadLists = Callable[[int, int], Iterator[pa.RecordBatch]]

_ROWS_PER_BATCH = 10_000


def assign_items(
    batches: Iterator[pa.RecordBatch], assign: AssignLists
) -> Iterator[pa.RecordBatch]:
    """Put each item into its list.

    Args:
        batches: item_id string, vector binary (float16).
        assign: gives the nearest lists of vectors.

    Yields:
        batches of LISTS.
    """
    for batch in packed_batches.coalesce(batches):
        nearest = assign(batch)
        no_probes = pa.nulls(len(nearest), pa.binary())
        probes = no_probes if nearest.shape[1] == 1 else _encode_probes(nearest)
        columns = [batch["item_id"], pa.array(nearest[:, 0]), probes, batch["vector"]]
        yield pa.RecordBatch.from_arrays(columns, schema=LISTS)


def send_to_files(batches: Iterator[pa.RecordBatch], files: GroupPlan) -> Iterator[pa.RecordBatch]:
    """Send rows to the files that their lists are in.

    Args:
        batches: of LISTS; a row without a vector says that this item has left its list.
        files: which lists each file has.

    Yields:
        packed batches of LISTS, by file.
    """
    for batch in packed_batches.coalesce(batches):
        row_bytes = max(1, batch.nbytes // batch.num_rows)
        take = packed_batches.take_from(batch)
        yield from packed_batches.pack(take, groups_by_id(batch, files), row_bytes)


def receive_files(
    batches: Iterator[pa.RecordBatch], files: GroupPlan, read_base: ReadLists
) -> Iterator[pa.RecordBatch]:
    """The rows of files: those of an earlier version, plus what arrived, minus what departed.

    Args:
        batches: packed batches of `send_to_files`, sorted by key; an empty cell for every file.
        files: which lists each file has.
        read_base: reads the earlier version's rows.

    Yields:
        batches of LISTS, in the order of the lists, equal vectors together, then by id.
    """
    for file, sent in packed_batches.iter_keys(batches, LISTS):
        moves = packed_batches.concat(sent, LISTS)
        departed = moves.filter(moves["vector"].is_null())["item_id"]
        parts = [moves.filter(moves["vector"].is_valid())]
        del moves
        for batch in read_base(*files.list_range(file)):
            is_in_file = groups_by_id(batch, files) == file
            has_departed = pc.is_in(batch["item_id"], departed)
            rows = batch.filter(pc.and_(pa.array(is_in_file), pc.invert(has_departed)))
            parts.append(rows.select(LISTS.names).cast(LISTS))
        yield from _sort_rows(packed_batches.concat(parts, LISTS))


def _sort_rows(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    keys = pa.table(
        {
            "list": rows["list"],
            "hash": pa.array(hash_vectors(rows["vector"])),
            "item_id": rows["item_id"],
        }
    )
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    for start in range(0, len(order), _ROWS_PER_BATCH):
        yield rows.take(order.slice(start, _ROWS_PER_BATCH))


def probe_pairs(
    batches: Iterator[pa.RecordBatch], nlist: int, nprobe: int
) -> Iterator[pa.RecordBatch]:
    """The pairs of a list and a list that its items probe: rows of the table `reach`.

    Args:
        batches: list int, probes binary.
        nlist: number of lists.
        nprobe: how many of its nearest lists an item probes.

    Yields:
        batches of home int, probed int; a pair may occur in several batches.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        probes = decode_probes(batch["probes"])[:, :nprobe].astype(np.int64)
        pairs = np.unique(batch["list"].to_numpy().astype(np.int64)[:, None] * nlist + probes)
        columns = [pa.array(column.astype(np.int32)) for column in np.divmod(pairs, nlist)]
        yield pa.RecordBatch.from_arrays(columns, ["home", "probed"])


def decode_probes(column: pa.Array) -> npt.NDArray[np.int32]:
    """The column `probes`: int32[n, m], the nearest lists of each item, nearest first."""
    values: npt.NDArray[np.int32] = binary_values(column).view("<i4").reshape(len(column), -1)
    return values


def _encode_probes(probes: npt.NDArray[np.int32]) -> pa.Array:
    """int[n, m] as a binary column: each row in little-endian int32."""
    rows = np.ascontiguousarray(probes, dtype="<i4")
    return to_binary(rows.reshape(-1).view(np.uint8), np.full(len(rows), 4 * rows.shape[1]))
