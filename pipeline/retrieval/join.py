"""The join of queries and items, group by group, as a stream of parcels."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval import caps, packed_batches
from pipeline.retrieval.loaded_group import LoadedGroup
from pipeline.retrieval.queries import Candidates
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.routing import QUERIES
from pipeline.retrieval.rules import Rules

# What a group found for a query: its best candidates, best first, ties by id. Where there are caps,
# `values` are those of each candidate that they count, one after the other, and the cut is the
# last candidate that there was room for: what ranks after it may be missing.
FOUND = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("values", pa.list_(pa.int64())),
        ("cut_score", pa.float32()),
        ("cut_id", pa.string()),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# Reads the items of a group, as held.of_group gives them; or its queries, as Routes does.
ReadGroup = Callable[[int], Iterator[pa.RecordBatch]]
# Called with a group's distances when the group is done.
OnGroupDone = Callable[[int], None]


def join(
    batches: Iterator[pa.RecordBatch],
    items: ReadGroup,
    at_home: ReadGroup,
    k: int,
    rules: Rules,
    done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    """Search each group for its own queries and those that came to it.

    One group is held at a time; queries pass by in blocks.

    Args:
        batches: of route's parcels, sorted by key; an empty parcel for every group.
        items: reads the items of a group.
        at_home: reads the queries that are found in the group itself.
        k: candidates of each query and group, at most.
        rules: what holds for pairs.
        done: is told of every group's end.

    Yields:
        batches of parcels of FOUND, under the part that they are merged in.
    """
    return pack_candidates(_search_groups(batches, items, at_home, k, rules, done))


def pack_candidates(found: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of FOUND as parcels of it, under the part they are merged in."""
    for some in packed_batches.coalesce(found):
        columns = [some[field.name].cast(field.type) for field in FOUND]
        whole = pa.RecordBatch.from_arrays(columns, schema=FOUND)
        part = whole["part"].to_numpy().astype(np.int64)

        def rows(taken: Int64, whole: pa.RecordBatch = whole) -> pa.RecordBatch:
            return whole.take(pa.array(taken))

        yield from packed_batches.pack(rows, part, whole.nbytes // whole.num_rows)


def _search_groups(
    batches: Iterator[pa.RecordBatch],
    items: ReadGroup,
    at_home: ReadGroup,
    k: int,
    rules: Rules,
    done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    for group, cells in itertools.groupby(
        packed_batches.iter_cells(batches), key=lambda cell: cell[0]
    ):
        held = LoadedGroup(items(group), k, rules)
        came = (packed_batches.unpack(cell, QUERIES) for _, cell in cells if len(cell))
        waiting: list[pa.RecordBatch] = []
        for queries in itertools.chain(at_home(group), came):
            waiting.append(queries)
            if sum(rows.num_rows for rows in waiting) >= held.block:
                yield search_batches(held, waiting)
                waiting = []
        if waiting:
            yield search_batches(held, waiting)
        done(held.distances)


def search_batches(held: LoadedGroup, waiting: list[pa.RecordBatch]) -> pa.RecordBatch:
    """What a group has for batches of QUERIES: a batch with the columns of FOUND."""
    asked = pa.concat_batches(waiting)
    found = held.search(asked)
    none = pa.nulls(len(asked), pa.string())
    if not held.rules.caps:
        values = pa.nulls(len(asked), pa.list_(pa.int64()))
        return _batch(asked, held, found, values, none.cast(pa.float32()), none)
    whole = found.counts < held.depth
    last = np.where(whole, 0, np.cumsum(found.counts) - 1)
    cut = pa.array(last, mask=whole)
    scores = pa.array(found.scores, pa.float32()).take(cut)
    ids = held.ids.take(pa.array(found.items).take(cut))
    rows = np.repeat(np.arange(len(asked)), found.counts)
    kept = caps.selectable_mask(rows, held.capped[found.items], held.rules.caps)
    counts = np.bincount(rows[kept], minlength=len(asked))
    found = Candidates(counts, found.items[kept], found.scores[kept])
    ends = np.concatenate([[0], np.cumsum(counts)]) * len(held.rules.caps)
    flat = pa.array(held.capped[found.items].ravel())
    values = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), flat)
    return _batch(asked, held, found, values, scores, ids)


def _batch(
    asked: pa.RecordBatch,
    held: LoadedGroup,
    found: Candidates,
    values: pa.Array,
    cut_score: pa.Array,
    cut_id: pa.Array,
) -> pa.RecordBatch:
    """Candidates of queries as a batch of FOUND."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(found.counts)]).astype(np.int32))
    similar = held.ids.take(pa.array(found.items))
    columns = [
        asked["item_id"],
        pa.ListArray.from_arrays(offsets, similar),
        pa.ListArray.from_arrays(offsets, pa.array(found.scores, pa.float32())),
        values,
        cut_score,
        cut_id,
        asked["list"],
        asked["part"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FOUND)
