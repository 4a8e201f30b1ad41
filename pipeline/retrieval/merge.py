"""The merge: the best of what several groups found for a query."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64, descending, ranges, ranks

NEIGHBOR = pa.struct([("similar_id", pa.string()), ("score", pa.float32())])
NEIGHBORS = pa.schema([("item_id", pa.string()), ("neighbors", pa.list_(NEIGHBOR))])
NEIGHBORS_DDL = "item_id string, neighbors array<struct<similar_id:string,score:float>>"

_ROWS_A_BATCH = 10_000


def merge(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """The k best candidates of each query, ties by id.

    All rows are held: the caller gives a part of the queries, with all that was found for them.

    Args:
        batches: of join.RESULT, in any order.
        k: neighbours an item, at most.

    Yields:
        batches of NEIGHBORS, one row an item that has any.
    """
    some = [batch for batch in batches if batch.num_rows]
    if not some:
        return
    table = pa.Table.from_batches(some).combine_chunks()
    queries = table["item_id"].combine_chunks().dictionary_encode()
    lists = table["candidates"].combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    rows = np.repeat(np.asarray(queries.indices).astype(np.int64), sizes)
    flat = lists.flatten()
    scores, similar = -flat.field("key").to_numpy(), flat.field("similar_id")
    order = _order(rows, scores, similar)
    order = order[ranks(rows[order]) < k]
    rows = rows[order]
    counts = np.bincount(rows, minlength=len(queries.dictionary))
    found = pa.StructArray.from_arrays(
        [similar.take(pa.array(order)), pa.array(scores[order] + np.float32(0))],
        fields=list(NEIGHBOR),
    )
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    neighbors = pa.ListArray.from_arrays(pa.array(offsets), found)
    whole = pa.RecordBatch.from_arrays([queries.dictionary, neighbors], schema=NEIGHBORS)
    for start in range(0, whole.num_rows, _ROWS_A_BATCH):
        yield whole.slice(start, _ROWS_A_BATCH)


def _order(rows: Int64, scores: "np.ndarray", ids: pa.Array) -> Int64:
    """The order by row, descending score and id; ids are compared where the others are equal."""
    keys = rows.astype(np.uint64) << np.uint64(32) | descending(scores)
    order = np.argsort(keys)
    number = np.cumsum(np.diff(keys[order], prepend=keys[order[:1]]) != 0)
    sizes = np.bincount(number)
    tied = np.flatnonzero(sizes > 1)
    places = ranges((np.cumsum(sizes) - sizes)[tied], sizes[tied])
    among = order[places]
    rank = np.empty(len(among), dtype=np.int64)
    rank[np.asarray(pc.sort_indices(ids.take(pa.array(among))))] = np.arange(len(among))
    order[places] = among[np.lexsort((rank, number[places]))]
    return order
