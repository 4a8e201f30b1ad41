"""The join of queries and items, list by list, as a stream of Arrow batches."""

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval.search import Candidates, List
from pipeline.retrieval.vectors import from_bytes

ITEM, QUERY = 0, 1

# `key` is the cosine, negated: sorted ascending, the best come first and ties go by id.
CANDIDATE = pa.struct([("key", pa.float32()), ("similar_id", pa.string())])
RESULT = pa.schema([("item_id", pa.string()), ("candidates", pa.list_(CANDIDATE))])
RESULT_DDL = "item_id string, candidates array<struct<key:float,similar_id:string>>"


def join(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """Search each list with the queries that follow its items.

    One list is held at a time; queries pass by. Nothing is yielded for a query of a list that has
    no other item.

    Args:
        batches: columns list int, role int (ITEM or QUERY), item_id string, vector binary
            (float16), sorted by list and role.
        k: candidates of each query and list, at most.

    Yields:
        batches of RESULT, one row a query and list.
    """
    number: int | None = None
    held: list[pa.RecordBatch] = []
    current: List | None = None
    for batch in batches:
        for part in _runs(batch):
            if part["list"][0].as_py() != number:
                number, held, current = part["list"][0].as_py(), [], None
            if part["role"][0].as_py() == ITEM:
                held.append(part)
                continue
            if current is None:
                if not held:
                    continue
                table = pa.Table.from_batches(held)
                current = List(table["item_id"].to_pylist(), from_bytes(table["vector"]), k)
                held = []
            yield _result(part, current)


def _runs(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of one list and one role each."""
    if not batch.num_rows:
        return
    lists, roles = batch["list"].to_numpy(), batch["role"].to_numpy()
    change = np.flatnonzero((np.diff(lists) != 0) | (np.diff(roles) != 0)) + 1
    bounds = [0, *change.tolist(), batch.num_rows]
    for start, end in itertools.pairwise(bounds):
        yield batch.slice(start, end - start)


def _result(queries: pa.RecordBatch, items: List) -> pa.RecordBatch:
    ids = queries["item_id"]
    found = items.search(ids.to_pylist(), from_bytes(queries["vector"]))
    return result_batch(ids, items, found)


def result_batch(queries: pa.Array, items: List, found: Candidates) -> pa.RecordBatch:
    """Candidates as a batch of RESULT."""
    similar = pa.array(items.ids, pa.string()).take(pa.array(found.items))
    key = pa.array(-found.scores, pa.float32())
    offsets = np.concatenate([[0], np.cumsum(found.counts)]).astype(np.int32)
    structs = pa.StructArray.from_arrays([key, similar], fields=list(CANDIDATE))
    candidates = pa.ListArray.from_arrays(pa.array(offsets), structs)
    return pa.RecordBatch.from_arrays([queries.cast(pa.string()), candidates], schema=RESULT)
