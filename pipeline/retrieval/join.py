"""The join of queries and items: group by group, as a stream of packed batches."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.loaded_group import LoadedGroup
from pipeline.retrieval.queries import Candidates
from pipeline.retrieval.ranking import rank_in_row
from pipeline.retrieval.routing import QUERIES
from pipeline.retrieval.rules import Rules

# The candidates of a query from one group, best first, ties by id. `list` and `part` are the
# query's. Only with boosts: `cosines`; the scores are what candidates are ranked by. Only with
# caps: `values` are the values of each candidate that the caps count, flattened; the cut
# (`cut_score`, `cut_id`) is the last candidate that the group had room for. Candidates of
# the group that rank after the cut may be missing; it is null if none is.
GROUP_CANDIDATES = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("cosines", pa.list_(pa.float32())),
        ("values", pa.list_(pa.int64())),
        ("cut_score", pa.float32()),
        ("cut_id", pa.string()),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# Reads the rows of a group: its items as `loaded_group.items_of_group` gives them, or its local
# queries as `Router.local_queries` gives them.
ReadGroup = Callable[[int], Iterator[pa.RecordBatch]]
# Called with the number of pairs that were scored, when a group is done.
OnGroupDone = Callable[[int], None]


def join(
    batches: Iterator[pa.RecordBatch],
    read_items: ReadGroup,
    read_local_queries: ReadGroup,
    k: int,
    depth: int,
    rules: Rules,
    on_group_done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    """Search each group for its local queries and for those that were sent to it.

    One group is in memory at a time; queries stream past it in blocks.

    Args:
        batches: packed batches of QUERIES, sorted by group; an empty cell for every group.
        read_items: reads the items of a group.
        read_local_queries: reads the queries that are items of the group itself.
        k: neighbours that a list may hold.
        depth: candidates of a query and a group, at most.
        rules: the rules on pairs.
        on_group_done: called at the end of every group.

    Yields:
        packed batches of GROUP_CANDIDATES, by the part that they are merged in.
    """
    return pack_candidates(
        _search_groups(batches, read_items, read_local_queries, k, depth, rules, on_group_done)
    )


def pack_candidates(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pack batches with the columns of GROUP_CANDIDATES by the part that they are merged in."""
    for batch in packed_batches.coalesce(batches):
        columns = [batch[field.name].cast(field.type) for field in GROUP_CANDIDATES]
        rows = pa.RecordBatch.from_arrays(columns, schema=GROUP_CANDIDATES)
        part = rows["part"].to_numpy().astype(np.int64)
        take = packed_batches.take_from(rows)
        yield from packed_batches.pack(take, part, rows.nbytes // rows.num_rows)


def _search_groups(
    batches: Iterator[pa.RecordBatch],
    read_items: ReadGroup,
    read_local_queries: ReadGroup,
    k: int,
    depth: int,
    rules: Rules,
    on_group_done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    for number, sent_queries in packed_batches.iter_keys(batches, QUERIES):
        asking = itertools.chain(read_local_queries(number), sent_queries)
        first = next(asking, None)
        if first is None:
            # Nothing is looked for here, as mostly where a few lists are searched for again.
            on_group_done(0)
            continue
        group = LoadedGroup(read_items(number), k, depth, rules)
        pending: list[pa.RecordBatch] = []
        for queries in itertools.chain([first], asking):
            pending.append(queries)
            if sum(rows.num_rows for rows in pending) >= group.block:
                yield search_batches(group, pending)
                pending = []
        if pending:
            yield search_batches(group, pending)
        on_group_done(group.distances)


def search_batches(group: LoadedGroup, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Search a group for batches of QUERIES: one batch with the columns of GROUP_CANDIDATES."""
    queries = pa.concat_batches(batches)
    candidates = group.search(queries)
    no_ids = pa.nulls(len(queries), pa.string())
    if not group.rules.caps:
        no_values = pa.nulls(len(queries), pa.list_(pa.int64()))
        return _batch(queries, group, candidates, no_values, no_ids.cast(pa.float32()), no_ids)
    rows = np.repeat(np.arange(len(queries)), candidates.counts)
    mask = group.capped_items.selectable_mask(rows, candidates.items)
    mask[mask] = rank_in_row(rows[mask]) < group.kept
    selectable = candidates.filter(mask)
    # A query with fewer candidates than the depth has all that there are in the group.
    is_complete = (candidates.counts < group.depth) | (selectable.counts == group.kept)
    last = np.where(is_complete, 0, np.cumsum(candidates.counts) - 1)
    cut = pa.array(last, mask=is_complete)
    cut_scores = pa.array(candidates.scores, pa.float32()).take(cut)
    cut_ids = group.ids.take(pa.array(candidates.items).take(cut))
    candidates = selectable
    ends = np.concatenate([[0], np.cumsum(candidates.counts)]) * len(group.rules.caps)
    flat = pa.array(group.capped[candidates.items].ravel())
    values = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), flat)
    return _batch(queries, group, candidates, values, cut_scores, cut_ids)


def _batch(
    queries: pa.RecordBatch,
    group: LoadedGroup,
    candidates: Candidates,
    values: pa.Array,
    cut_scores: pa.Array,
    cut_ids: pa.Array,
) -> pa.RecordBatch:
    """Candidates of queries as a batch of GROUP_CANDIDATES."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(candidates.counts)]).astype(np.int32))
    similar_ids = group.ids.take(pa.array(candidates.items))
    cosines = pa.nulls(len(queries), pa.list_(pa.float32()))
    if group.rules.boosts.exist:
        cosines = pa.ListArray.from_arrays(offsets, pa.array(candidates.cosines, pa.float32()))
    columns = [
        queries["item_id"],
        pa.ListArray.from_arrays(offsets, similar_ids),
        pa.ListArray.from_arrays(offsets, pa.array(candidates.scores, pa.float32())),
        cosines,
        values,
        cut_scores,
        cut_ids,
        queries["list"],
        queries["part"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=GROUP_CANDIDATES)
