"""The lists table as Spark writes it: each item in its list, rows in the order of the lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models import Handle, resident, shipping
from pipeline.retrieval import list_table, list_traits, packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.list_table import AssignLists
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.vectors import from_bytes, hash_vectors
from pipeline.storage.list_schemas import LISTS
from pipeline.storage.paths import load_arrays
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredLayer, ClusteredTable
from pipeline.store.schemas import REACH

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

# A table of lists without rows.
NO_LISTS = ClusteredTable(Path(), (ClusteredLayer(),))


def assign_by_hash(nlist: int) -> AssignLists:
    """Assign lists by a hash of the vector, for an exact search, which searches all lists."""
    return lambda rows: (hash_vectors(rows["vector"]) % nlist).astype("int32")[:, None]


def assign_by_quantiser(quantiser: Handle, probes_per_item: int) -> AssignLists:
    """Assign the nearest lists by a quantiser.

    Args:
        quantiser: its file, as it was shipped.
        probes_per_item: how many lists are assigned to an item.
    """

    def assign(rows: "pa.RecordBatch") -> "np.ndarray":
        vectors = from_bytes(rows["vector"])
        return load_quantiser(quantiser).probe(vectors, probes_per_item)

    return assign


def assigned_frame(vectors: "DataFrame", assign: AssignLists) -> "DataFrame":
    """Rows of the lists table, in any order.

    Args:
        vectors: item_id string, vector binary.
        assign: gives the nearest lists of vectors, on an executor.
    """
    return assigned_rows(vectors, assign).table("lists")


def assigned_rows(vectors: "DataFrame", assign: AssignLists) -> Rows:
    """Like `assigned_frame`, but as Rows that Python workers write themselves."""

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.assign_items(batches, assign)

    return Rows(vectors, run)


def sorted_lists(vectors: Rows, assign: AssignLists, files: GroupPlan) -> Rows:
    """The lists table, in the order of the lists, one partition a file.

    Args:
        vectors: item_id string, vector binary.
        assign: gives the nearest lists of vectors, on an executor.
        files: which lists each file has.
    """

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send_to_files(list_table.assign_items(batches, assign), files)

    sent = vectors.map(send)
    packed = sent.frame.mapInArrow(sent.run, schemas.ddl(packed_batches.SCHEMA))
    return _receive_files(packed, files, NO_LISTS)


def updated_lists(
    base: ClusteredTable, arrivals: "DataFrame", departures: "DataFrame | None", files: GroupPlan
) -> Rows:
    """An earlier version of the lists table, brought up to date, one partition a file.

    Args:
        base: the earlier version's files; NO_LISTS to sort the arrivals alone.
        arrivals: rows of the lists table that are new.
        departures: item_id and list of the rows that are gone; None if there are none.
        files: which lists each file has.
    """

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send_to_files(batches, files)

    moves, null = arrivals, "cast(null as binary)"
    if departures is not None:
        gone = departures.selectExpr("item_id", "list", f"{null} as probes", f"{null} as vector")
        moves = moves.unionByName(gone)
    return _receive_files(moves.mapInArrow(send, schemas.ddl(packed_batches.SCHEMA)), files, base)


def lists_with_traits(lists: ClusteredTable, traits: "DataFrame", files: GroupPlan) -> Rows:
    """The candidates table, one partition a file.

    Args:
        lists: the lists table's files.
        traits: item_id, list and the columns of TRAITS, of every item.
        files: which lists each file has.
    """

    def read_lists(first: int, end: int) -> "Iterator[pa.RecordBatch]":
        return lists.rows(first, end, LISTS.names)

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_traits.send_to_files(batches, files)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_traits.receive_files(batches, files, read_lists)

    sent = traits.mapInArrow(send, schemas.ddl(packed_batches.SCHEMA))
    return Rows(shuffle_by_group(sent, files.group_count, files.group_count), receive)


def _receive_files(sent: "DataFrame", files: GroupPlan, base: ClusteredTable) -> Rows:
    def read_base(first: int, end: int) -> "Iterator[pa.RecordBatch]":
        return base.rows(first, end, LISTS.names)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.receive_files(batches, files, read_base)

    return Rows(shuffle_by_group(sent, files.group_count, files.group_count), receive)


def probe_pairs(lists: Rows, nlist: int, nprobe: int) -> "DataFrame":
    """The distinct pairs of lists (home, probed): an item of the list home probes the list probed.

    Args:
        lists: columns list and probes of the lists table.
        nlist: number of lists.
        nprobe: how many of its nearest lists an item probes.

    Returns:
        home int, probed int.
    """

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.probe_pairs(batches, nlist, nprobe)

    pairs = lists.map(run)
    return pairs.frame.mapInArrow(pairs.run, schemas.ddl(REACH)).distinct()


def load_quantiser(handle: Handle) -> Quantiser:
    """A quantiser, loaded once a process."""

    def load() -> Quantiser:
        return Quantiser.from_arrays(load_arrays(Path(shipping.local_path(handle))))

    return resident.get(handle.key, load)


def shuffle_by_group(packed: "DataFrame", group_count: int, partitions: int) -> "DataFrame":
    """Bring packed batches of one group together; every group also gets an empty cell.

    Because of the empty cell, a task learns of groups that nothing was sent to.

    Args:
        packed: packed batches whose key is a group.
        group_count: how many groups there are.
        partitions: how many partitions Spark makes of them.
    """
    from pyspark.sql import functions as F

    groups = packed.sparkSession.range(group_count, numPartitions=1)
    empty = groups.select(F.col("id").alias("key"), F.lit(b"").alias("rows"))
    together = packed.unionByName(empty).repartitionById(partitions, F.col("key").cast("int"))
    return together.sortWithinPartitions("key") if partitions < group_count else together
