"""The join of queries and items, group by group, as a stream of parcels."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.queries import Candidates, Queries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.route import ITEM, ITEMS, QUERIES
from pipeline.retrieval.search import Group, query_block
from pipeline.retrieval.vectors import from_bytes

# What a group found for a query: its best candidates, best first, ties by id.
FOUND = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("part", pa.int32()),
    ]
)

# Called with a group's distances when the group is done.
Done = Callable[[int], None]


def join(batches: Iterator[pa.RecordBatch], k: int, done: Done) -> Iterator[pa.RecordBatch]:
    """Search each group with the queries that follow its items.

    One group is held at a time; queries pass by in blocks.

    Args:
        batches: of route's parcels, sorted by key.
        k: candidates of each query and group, at most.
        done: is told of every group's end.

    Yields:
        batches of parcels of FOUND, under the part that they are merged in.
    """
    return as_parcels(_found(batches, k, done))


def as_parcels(found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of FOUND as parcels of it, under the part they are merged in."""
    for some in parcels.gathered(found):
        columns = [some[field.name].cast(field.type) for field in FOUND]
        whole = pa.RecordBatch.from_arrays(columns, schema=FOUND)
        part = whole["part"].to_numpy().astype(np.int64)

        def rows(taken: Int64, whole: pa.RecordBatch = whole) -> pa.RecordBatch:
            return whole.take(pa.array(taken))

        yield from parcels.pack(rows, part, whole.nbytes // whole.num_rows)


def _found(batches: Iterator[pa.RecordBatch], k: int, done: Done) -> Iterator[pa.RecordBatch]:
    for _, of_group in itertools.groupby(parcels.cells(batches), key=lambda cell: cell[0] >> 1):
        held: _Held | None = None
        items: list[pa.RecordBatch] = []
        waiting: list[pa.RecordBatch] = []
        for key, cell in of_group:
            if key & 1 == ITEM:
                items.append(parcels.unpack(cell, ITEMS))
                continue
            if held is None:
                held = _Held(items, k)
            waiting.append(parcels.unpack(cell, QUERIES))
            if sum(rows.num_rows for rows in waiting) >= held.block:
                yield held.search(pa.concat_batches(waiting))
                waiting = []
        if held is not None:
            if waiting:
                yield held.search(pa.concat_batches(waiting))
            done(held.distances)


class _Held:
    """A group, and what its lists are called: a unit's items with one value of `same` each.

    Attributes:
        block: how many queries are best searched for at a time.
    """

    def __init__(self, items: list[pa.RecordBatch], k: int) -> None:
        """Take a group's items; the list is emptied, so that their memory can be freed."""
        self._group: Group | None = None
        self._values = pa.array([], pa.string())
        self.block = 1
        if not items:
            return
        rows = pa.concat_batches(items)
        items.clear()
        same = rows["same"].dictionary_encode(null_encoding="encode")
        self._values = same.dictionary
        lists = self._lists(rows["unit"].to_numpy(), np.asarray(same.indices))
        self._group = Group(lists, rows["item_id"], rows["vector"], k)
        self.block = query_block(len(rows["vector"][0].as_buffer()) // 2)

    @property
    def distances(self) -> int:
        return self._group.distances if self._group else 0

    def _lists(self, units: "np.ndarray", values: "np.ndarray") -> Int64:
        # A value that no item has belongs to no list.
        lists = units.astype(np.int64) * len(self._values) + values
        return np.where(values < 0, -1, lists)

    def search(self, asked: pa.RecordBatch) -> pa.RecordBatch:
        ids = asked["item_id"]
        if self._group is None:
            return found_batch(asked, ids, NOTHING)
        units = asked["units"]
        rows = np.repeat(np.arange(len(ids)), np.diff(units.offsets.to_numpy()))
        known = pc.fill_null(pc.index_in(asked["same"], self._values), -1)
        lists = self._lists(units.flatten().to_numpy(), np.asarray(known)[rows])
        found = self._group.search(Queries(ids, from_bytes(asked["vector"]), rows, lists))
        return found_batch(asked, self._group.ids, found)


NOTHING = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def found_batch(asked: pa.RecordBatch, ids: pa.Array, found: Candidates) -> pa.RecordBatch:
    """Candidates as a batch of FOUND; queries that found nothing are left out.

    Args:
        asked: the queries, with columns item_id and part.
        ids: what the candidates' items are positions in.
        found: of those queries.
    """
    similar, scores = ids.take(pa.array(found.items)), pa.array(found.scores, pa.float32())
    some = found.counts > 0
    offsets = pa.array(np.concatenate([[0], np.cumsum(found.counts[some])]).astype(np.int32))
    asked = asked.filter(pa.array(some)) if len(some) else asked.slice(0, 0)
    columns = [
        asked["item_id"],
        pa.ListArray.from_arrays(offsets, similar),
        pa.ListArray.from_arrays(offsets, scores),
        asked["part"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FOUND)
