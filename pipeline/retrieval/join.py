"""The join of queries and items, group by group, as a stream of Arrow batches."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.queries import Candidates, Queries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.route import HASH_BITS, QUERY
from pipeline.retrieval.search import QUERY_BLOCK, Group, classes
from pipeline.retrieval.vectors import binary_values, from_bytes

# `key` is the cosine, negated: sorted ascending, the best come first and ties go by id.
CANDIDATE = pa.struct([("key", pa.float32()), ("similar_id", pa.string())])
RESULT = pa.schema([("item_id", pa.string()), ("candidates", pa.list_(CANDIDATE))])
RESULT_DDL = "item_id string, candidates array<struct<key:float,similar_id:string>>"

# Blocks of queries that are collected before they are searched.
_BLOCKS = 3

# Called with a group's distances when the group is done.
Done = Callable[[int], None]


def join(batches: Iterator[pa.RecordBatch], k: int, done: Done) -> Iterator[pa.RecordBatch]:
    """Search each group with the queries that follow its items.

    One group is held at a time; queries pass by in blocks.

    Args:
        batches: of route.ROUTED, sorted by key.
        k: candidates of each query and group, at most.
        done: is told of every group's end.

    Yields:
        batches of RESULT, one row a query and group.
    """
    runs = ((part["key"][0].as_py() >> HASH_BITS, part) for b in batches for part in _runs(b))
    for _, of_group in itertools.groupby(runs, key=lambda run: run[0] >> 1):
        held: _Held | None = None
        items: list[pa.RecordBatch] = []
        waiting: list[pa.RecordBatch] = []
        for role_and_group, part in of_group:
            if role_and_group & 1 != QUERY:
                items.append(_lowest(part, k + 1))
                continue
            if held is None:
                held, items = _Held(items, k), []
            waiting.append(part)
            if sum(p.num_rows for p in waiting) >= _BLOCKS * QUERY_BLOCK:
                yield held.search(pa.Table.from_batches(waiting))
                waiting = []
        if held is not None:
            if waiting:
                yield held.search(pa.Table.from_batches(waiting))
            done(held.distances)


def _runs(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of one group and one role each."""
    if not batch.num_rows:
        return
    change = np.flatnonzero(np.diff(batch["key"].to_numpy() >> HASH_BITS)) + 1
    for start, end in itertools.pairwise([0, *change.tolist(), batch.num_rows]):
        yield batch.slice(start, end - start)


def _lowest(items: pa.RecordBatch, most: int) -> pa.RecordBatch:
    """The items without those that so many others with their vector and lower ids go before.

    What is held of a group does not grow with the number of equal items.
    """
    values = items["same"].dictionary_encode(null_encoding="encode")
    lists = _numbers(items["lists"]) * len(values.dictionary) + np.asarray(values.indices)
    order = np.asarray(pc.sort_indices(items["item_id"]))
    members, _ = classes(lists, items["vector"], order, most)
    if len(members) == items.num_rows:
        return items
    return items.take(pa.array(order[members]))


class _Held:
    """A group, and what its lists are called: a unit's items with one value of `same` each."""

    def __init__(self, items: list[pa.RecordBatch], k: int) -> None:
        self._group: Group | None = None
        self._values: dict[str | None, int] = {}
        if not items:
            return
        table = pa.Table.from_batches(items).combine_chunks()
        items.clear()
        units = _numbers(table["lists"].combine_chunks())
        values = table["same"].combine_chunks().dictionary_encode(null_encoding="encode")
        self._values = {v: n for n, v in enumerate(values.dictionary.to_pylist())}
        lists = units * len(self._values) + np.asarray(values.indices)
        ids, vectors = (table[name].combine_chunks() for name in ("item_id", "vector"))
        del table
        self._group = Group(lists, ids, vectors, k)

    @property
    def distances(self) -> int:
        return self._group.distances if self._group else 0

    def search(self, queries: pa.Table) -> pa.RecordBatch:
        ids = queries["item_id"].combine_chunks()
        if self._group is None:
            return result_batch(ids[:0], ids[:0], _NOTHING)
        probed = queries["lists"].combine_chunks()
        rows = np.repeat(np.arange(len(ids)), np.asarray(pc.binary_length(probed)) // 4)
        # A value that no item has belongs to no list.
        codes = np.array([self._values.get(v, -1) for v in queries["same"].to_pylist()])[rows]
        lists = np.where(codes < 0, -1, _numbers(probed) * len(self._values) + codes)
        vectors = from_bytes(queries["vector"])
        found = self._group.search(Queries(ids, vectors, rows, lists))
        return result_batch(ids, self._group.ids, found)


_NOTHING = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def _numbers(column: pa.Array) -> Int64:
    numbers: Int64 = binary_values(column).view("<i4").astype(np.int64)
    return numbers


def result_batch(queries: pa.Array, ids: pa.Array, found: Candidates) -> pa.RecordBatch:
    """Candidates as a batch of RESULT; queries that found nothing are left out."""
    similar = ids.take(pa.array(found.items))
    key = pa.array(-found.scores, pa.float32())
    some = found.counts > 0
    offsets = np.concatenate([[0], np.cumsum(found.counts[some])]).astype(np.int32)
    structs = pa.StructArray.from_arrays([key, similar], fields=list(CANDIDATE))
    candidates = pa.ListArray.from_arrays(pa.array(offsets), structs)
    asked = queries.filter(pa.array(some))
    return pa.RecordBatch.from_arrays([asked.cast(pa.string()), candidates], schema=RESULT)
