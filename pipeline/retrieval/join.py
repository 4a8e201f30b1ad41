"""The join of queries and items, group by group, as a stream of parcels."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval import parcels
from pipeline.retrieval.held import Held
from pipeline.retrieval.queries import Candidates
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.route import QUERIES

# What a group found for a query: its best candidates, best first, ties by id.
FOUND = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# Reads the items of a group, as held.of_group gives them; or its queries, as Routes does.
Read = Callable[[int], Iterator[pa.RecordBatch]]
# Called with a group's distances when the group is done.
Done = Callable[[int], None]


def join(
    batches: Iterator[pa.RecordBatch], items: Read, at_home: Read, k: int, done: Done
) -> Iterator[pa.RecordBatch]:
    """Search each group for its own queries and those that came to it.

    One group is held at a time; queries pass by in blocks.

    Args:
        batches: of route's parcels, sorted by key; an empty parcel for every group.
        items: reads the items of a group.
        at_home: reads the queries that are found in the group itself.
        k: candidates of each query and group, at most.
        done: is told of every group's end.

    Yields:
        batches of parcels of FOUND, under the part that they are merged in.
    """
    return as_parcels(_found(batches, items, at_home, k, done))


def as_parcels(found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of FOUND as parcels of it, under the part they are merged in."""
    for some in parcels.gathered(found):
        columns = [some[field.name].cast(field.type) for field in FOUND]
        whole = pa.RecordBatch.from_arrays(columns, schema=FOUND)
        part = whole["part"].to_numpy().astype(np.int64)

        def rows(taken: Int64, whole: pa.RecordBatch = whole) -> pa.RecordBatch:
            return whole.take(pa.array(taken))

        yield from parcels.pack(rows, part, whole.nbytes // whole.num_rows)


def _found(
    batches: Iterator[pa.RecordBatch], items: Read, at_home: Read, k: int, done: Done
) -> Iterator[pa.RecordBatch]:
    for group, cells in itertools.groupby(parcels.cells(batches), key=lambda cell: cell[0]):
        held = Held(items(group), k)
        came = (parcels.unpack(cell, QUERIES) for _, cell in cells if len(cell))
        waiting: list[pa.RecordBatch] = []
        for queries in itertools.chain(at_home(group), came):
            waiting.append(queries)
            if sum(rows.num_rows for rows in waiting) >= held.block:
                yield _search(held, waiting)
                waiting = []
        if waiting:
            yield _search(held, waiting)
        done(held.distances)


def _search(held: Held, waiting: list[pa.RecordBatch]) -> pa.RecordBatch:
    asked = pa.concat_batches(waiting)
    return found_batch(asked, held.ids, held.search(asked))


def found_batch(asked: pa.RecordBatch, ids: pa.Array, found: Candidates) -> pa.RecordBatch:
    """Candidates as a batch of FOUND; queries that found nothing are left out.

    Args:
        asked: the queries, with columns item_id, list and part.
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
        asked["list"],
        asked["part"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FOUND)
