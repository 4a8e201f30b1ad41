"""The lists table as Spark writes it: each item in its list, the rows in the order of the lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models import Handle, resident, shipping
from pipeline.retrieval import list_table, parcels, quantiser
from pipeline.retrieval import list_traits as with_rules
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.list_table import Locate
from pipeline.retrieval.vectors import Float32, from_bytes, hashes
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import Clustered

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def hashed_lists(nlist: int) -> Locate:
    """Lists by a hash of the vector, for an exact search."""
    return lambda rows: (hashes(rows["vector"]) % nlist).astype("int32")[:, None]


def near_lists(centroids: Handle, most: int) -> Locate:
    """The nearest lists by a quantiser shipped as a file, at most so many."""

    def locate(rows: "pa.RecordBatch") -> "np.ndarray":
        return quantiser.probe(from_bytes(rows["vector"]), load_centroids(centroids), most)

    return locate


def located(vectors: "DataFrame", locate: Locate) -> "DataFrame":
    """Rows of the lists table, in any order.

    Args:
        vectors: item_id string, vector binary.
        locate: gives the nearest lists of vectors, on an executor.
    """
    return in_lists(vectors, locate).table("lists")


def in_lists(vectors: "DataFrame", locate: Locate) -> Rows:
    """The same, for writing."""

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.located(batches, locate)

    return Rows(vectors, run)


def in_order(vectors: "DataFrame", locate: Locate, files: Plan) -> Rows:
    """The lists table, one partition a file; arguments as for `located`, and the files."""

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send(list_table.located(batches, locate), files)

    return _received(vectors.mapInArrow(send, parcels.DDL), files, Clustered(Path(), ()))


def moved(before: Clustered, arrivals: "DataFrame", left: "DataFrame", files: Plan) -> Rows:
    """An earlier night's lists table, brought up to date, one partition a file.

    Args:
        before: the earlier table's files.
        arrivals: rows of the lists table that came.
        left: item_id and list of those that left.
        files: which lists come into one file.
    """

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.send(batches, files)

    none = "cast(null as binary)"
    leaves = left.selectExpr("item_id", "list", f"{none} as probes", f"{none} as vector")
    moves = arrivals.unionByName(leaves)
    return _received(moves.mapInArrow(send, parcels.DDL), files, before)


def ruled(lists: Clustered, traits: "DataFrame", files: Plan) -> Rows:
    """The candidates table, one partition a file.

    Args:
        lists: the lists table's files.
        traits: item_id, list and retrieval.rules.TRAITS of every row.
        files: which lists come into one file.
    """

    def read(first: int, last: int) -> "Iterator[pa.RecordBatch]":
        return lists.rows(first, last, list_table.LISTED.names)

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return with_rules.send(batches, files)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return with_rules.receive(batches, files, read)

    sent = traits.mapInArrow(send, parcels.DDL)
    return Rows(by_group(sent, files.groups, files.groups), receive)


def _received(sent: "DataFrame", files: Plan, before: Clustered) -> Rows:
    def read(first: int, last: int) -> "Iterator[pa.RecordBatch]":
        return before.rows(first, last, list_table.LISTED.names)

    def receive(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.receive(batches, files, read)

    return Rows(by_group(sent, files.groups, files.groups), receive)


def reach(lists: "DataFrame", nlist: int, width: int) -> "DataFrame":
    """From which lists' items which lists are probed: home int, probed int.

    Args:
        lists: rows of the lists table.
        nlist: number of lists.
        width: how many of its nearest lists an item probes.
    """

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return list_table.reached(batches, nlist, width)

    pairs = lists.select("list", "probes").mapInArrow(run, "home int, probed int")
    return pairs.distinct()


def load_centroids(handle: Handle) -> Float32:
    """A quantiser's centroids, loaded once a process: float32[nlist, dim]."""
    centroids: Float32 = resident.get(handle.key, lambda: np.load(shipping.local_path(handle)))
    return centroids


def by_group(sent: "DataFrame", groups: int, partitions: int) -> "DataFrame":
    """Parcels, each group's together; also an empty one for every group, that none is left out.

    Args:
        sent: parcels whose key is a group.
        groups: how many there are.
        partitions: how many Spark makes of them.
    """
    from pyspark.sql import functions as F

    every = sent.sparkSession.range(groups, numPartitions=1)
    empty = every.select(F.col("id").alias("key"), F.lit(b"").alias("parcel"))
    together = sent.unionByName(empty).repartitionById(partitions, F.col("key").cast("int"))
    return together.sortWithinPartitions("key") if partitions < groups else together
