"""The lists table as Spark writes it: each item in its list, the rows in the order of the lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models import Handle, resident, shipping
from pipeline.retrieval import list_table, packed_batches, quantiser
from pipeline.retrieval import list_traits as with_rules
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.list_table import AssignLists
from pipeline.retrieval.vectors import Float32, from_bytes, hash_vectors
from pipeline.storage.clustered_tables import LISTS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def assign_by_hash(nlist: int) -> AssignLists:
    """Lists by a hash of the vector, for an exact search."""
    return lambda rows: (hash_vectors(rows["vector"]) % nlist).astype("int32")[:, None]


def assign_by_quantiser(centroids: Handle, most: int) -> AssignLists:
    """The nearest lists by a quantiser shipped as a file, at most so many."""

    def locate(rows: "pa.RecordBatch") -> "np.ndarray":
        return quantiser.probe(from_bytes(rows["vector"]), load_centroids(centroids), most)

    return locate


def assigned_frame(vectors: "DataFrame", locate: AssignLists) -> "DataFrame":
    """Rows of the lists table, in any order.

    Args:
        vectors: item_id string, vector binary.
        locate: gives the nearest lists of vectors, on an executor.
    """
    return assigned_rows(vectors, locate).table("lists")


def assigned_rows(vectors: "DataFrame", locate: AssignLists) -> Rows:
    """The same, for writing."""

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.assign_items(batches, locate)

    return Rows(vectors, run)


def sorted_lists(vectors: "DataFrame", locate: AssignLists, files: GroupPlan) -> Rows:
    """The lists table, one partition a file; arguments as for `located`, and the files."""

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send_to_files(list_table.assign_items(batches, locate), files)

    sent = vectors.mapInArrow(send, schemas.ddl(packed_batches.SCHEMA))
    return _received(sent, files, ClusteredTable(Path(), ()))


def updated_lists(
    before: ClusteredTable, arrivals: "DataFrame", left: "DataFrame", files: GroupPlan
) -> Rows:
    """An earlier night's lists table, brought up to date, one partition a file.

    Args:
        before: the earlier table's files.
        arrivals: rows of the lists table that came.
        left: item_id and list of those that left.
        files: which lists come into one file.
    """

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send_to_files(batches, files)

    none = "cast(null as binary)"
    leaves = left.selectExpr("item_id", "list", f"{none} as probes", f"{none} as vector")
    moves = arrivals.unionByName(leaves)
    return _received(moves.mapInArrow(send, schemas.ddl(packed_batches.SCHEMA)), files, before)


def lists_with_traits(lists: ClusteredTable, traits: "DataFrame", files: GroupPlan) -> Rows:
    """The candidates table, one partition a file.

    Args:
        lists: the lists table's files.
        traits: item_id, list and retrieval.rules.TRAITS of every row.
        files: which lists come into one file.
    """

    def read(first: int, last: int) -> "Iterator[pa.RecordBatch]":
        return lists.rows(first, last, LISTS.names)

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return with_rules.send_to_files(batches, files)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return with_rules.receive_files(batches, files, read)

    sent = traits.mapInArrow(send, schemas.ddl(packed_batches.SCHEMA))
    return Rows(shuffle_by_group(sent, files.groups, files.groups), receive)


def _received(sent: "DataFrame", files: GroupPlan, before: ClusteredTable) -> Rows:
    def read(first: int, last: int) -> "Iterator[pa.RecordBatch]":
        return before.rows(first, last, LISTS.names)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.receive_files(batches, files, read)

    return Rows(shuffle_by_group(sent, files.groups, files.groups), receive)


def probe_pairs(lists: "DataFrame", nlist: int, width: int) -> "DataFrame":
    """From which lists' items which lists are probed: home int, probed int.

    Args:
        lists: rows of the lists table.
        nlist: number of lists.
        width: how many of its nearest lists an item probes.
    """

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.probe_pairs(batches, nlist, width)

    pairs = lists.select("list", "probes").mapInArrow(run, "home int, probed int")
    return pairs.distinct()


def load_centroids(handle: Handle) -> Float32:
    """A quantiser's centroids, loaded once a process: float32[nlist, dim]."""
    centroids: Float32 = resident.get(handle.key, lambda: np.load(shipping.local_path(handle)))
    return centroids


def shuffle_by_group(sent: "DataFrame", groups: int, partitions: int) -> "DataFrame":
    """Parcels, each group's together; also an empty one for every group, that none is left out.

    Args:
        sent: parcels whose key is a group.
        groups: how many there are.
        partitions: how many Spark makes of them.
    """
    from pyspark.sql import functions as F

    every = sent.sparkSession.range(groups, numPartitions=1)
    empty = every.select(F.col("id").alias("key"), F.lit(b"").alias("rows"))
    together = sent.unionByName(empty).repartitionById(partitions, F.col("key").cast("int"))
    return together.sortWithinPartitions("key") if partitions < groups else together
