"""The merge: the best of what several groups found for a query."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.join import FOUND
from pipeline.retrieval.ranking import Int64, by_rank, ranks

NEIGHBOR = pa.struct([("similar_id", pa.string()), ("score", pa.float32())])
# `floor` is the last neighbour that there was room for: what ranks after it may be missing. It is
# null where nothing is.
NEIGHBORS = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("neighbors", pa.list_(NEIGHBOR)),
        ("floor", NEIGHBOR),
    ]
)
NEIGHBORS_DDL = (
    "item_id string, list int, neighbors array<struct<similar_id:string,score:float>>, "
    "floor struct<similar_id:string,score:float>"
)

_ROWS_A_BATCH = 10_000


def merge(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """The k best candidates of each query, ties by id.

    All rows of a part are held; it holds some of the queries, with all that was found for them.

    Args:
        batches: of join's parcels, in any order.
        k: neighbours an item, at most.

    Yields:
        batches of NEIGHBORS, one row an item that has any, in the order of the items' lists.
    """
    some = [parcels.unpack(cell, FOUND) for _, cell in parcels.cells(batches)]
    if not some:
        return
    found = pa.concat_batches(some)
    some.clear()
    whole = best(found, k)
    for start in range(0, whole.num_rows, _ROWS_A_BATCH):
        yield whole.slice(start, _ROWS_A_BATCH)


def best(found: pa.RecordBatch, k: int) -> pa.RecordBatch:
    """Rows of FOUND, in any order, as rows of NEIGHBORS."""
    queries = found["item_id"].dictionary_encode()
    mine = np.asarray(queries.indices).astype(np.int64)
    lists = np.empty(len(queries.dictionary), dtype=np.int32)
    lists[mine] = found["list"].to_numpy()
    in_order = np.argsort(lists, kind="stable")
    place = np.argsort(in_order)
    sizes = np.diff(found["similar_ids"].offsets.to_numpy())
    rows = np.repeat(place[mine], sizes)
    scores, similar = found["scores"].flatten().to_numpy(), found["similar_ids"].flatten()

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(similar.take(pa.array(some)), tiebreaker="dense"))

    order = by_rank(rows, scores, by_id)
    order = order[ranks(rows[order]) < k]
    counts = np.bincount(rows[order], minlength=len(lists))
    structs = pa.StructArray.from_arrays(
        [similar.take(pa.array(order)), pa.array(scores[order])], fields=list(NEIGHBOR)
    )
    ends = np.cumsum(counts)
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    last = pa.array(ends - 1, mask=counts < k)
    columns = [
        queries.dictionary.take(pa.array(in_order)),
        pa.array(lists[in_order]),
        pa.ListArray.from_arrays(offsets, structs),
        structs.take(last),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)
