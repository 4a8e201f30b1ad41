"""What a night changes for the items that stay: who came into their lists, and who left them.

An item's neighbours are kept beyond the k that are shown, down to a floor: no candidate that ranks
before the floor is missing. One that comes is taken in if it ranks before the floor; where one that
leaves makes the list shorter than k, the item has to ask again. So has every item whose list was
touched where there are caps: what those had kept out may come in.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.arrivals import NeighborSettings, ScoredPairs, pairs_above_floor
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.join import OnGroupDone, ReadGroup
from pipeline.retrieval.loaded_group import units_of_rows
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order
from pipeline.retrieval.reverse_probes import MOVES
from pipeline.retrieval.rules import eligible_rows, query_rows
from pipeline.storage.clustered_tables import NEIGHBOR, NEIGHBORS


def _by_group(
    batches: Iterator[pa.RecordBatch],
) -> Iterator[tuple[int, pa.RecordBatch, pa.Array]]:
    """Each group, what came to lists that its items probe, and the ids of what left those."""
    for group, cells in itertools.groupby(
        packed_batches.iter_cells(batches), key=lambda cell: cell[0]
    ):
        nothing = pa.RecordBatch.from_pylist([], schema=MOVES)
        sent = (packed_batches.unpack(cell, MOVES) for _, cell in cells if len(cell))
        moves = pa.concat_batches([nothing, *sent])
        there = moves["vector"].is_valid()
        yield group, moves.filter(there), moves.filter(pc.invert(there))["item_id"]


def find_incomplete(
    batches: Iterator[pa.RecordBatch],
    plan: GroupPlan,
    items: ReadGroup,
    kept: ReadGroup,
    settings: NeighborSettings,
) -> Iterator[pa.RecordBatch]:
    """The items that stay and have to ask again.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every group.
        plan: the groups.
        items: reads a group's rows of the lists table as it is now.
        kept: reads rows of NEIGHBORS of an earlier night by group.
        settings: what neighbours are.

    Yields:
        their rows of the lists table.
    """
    for group, came, left in _by_group(batches):
        if settings.rules.caps:
            for state in _states(group, came, left, plan, items, kept, settings):
                yield state.items.filter(pa.array(state.asks))
            continue
        ids = [pa.array([], pa.string())]
        for rows in kept(group):
            stays = rows.filter(pc.invert(pc.is_in(rows["item_id"], left)))
            ids.append(stays["item_id"].filter(pa.array(_must_ask(stays, left, settings))))
        wanted = pa.concat_arrays(ids)
        for rows in items(group) if len(wanted) else ():
            found = rows.filter(pc.is_in(rows["item_id"], wanted))
            # Of a split list every group has read all rows.
            yield found.filter(pa.array(plan.group[units_of_rows(found, plan)] == group))


def _must_ask(rows: pa.RecordBatch, left: pa.Array, settings: NeighborSettings) -> "np.ndarray":
    """Which rows of NEIGHBORS may lack a neighbour after some have left: bool[n]."""
    owner, flat = _flat(rows["neighbors"])
    stays = ~np.asarray(pc.is_in(flat.field("similar_id"), left))
    counts = np.bincount(owner[stays], minlength=rows.num_rows)
    short: np.ndarray = counts < settings.k
    if not settings.widens:
        short &= np.asarray(rows["floor"].is_valid())
    else:
        short |= rows["probes"].to_numpy() != settings.width
    if settings.rules.caps:
        short[owner[~stays]] = True
    return short


@dataclass(frozen=True)
class _State:
    """What has become of a group's items that stay.

    Attributes:
        items: their rows of the lists table.
        before: their rows of NEIGHBORS of an earlier night.
        asks: bool[n], which have to ask again.
        new: pairs of an item and one that came and ranks before its floor.
        scored: how many pairs were scored.
    """

    items: pa.RecordBatch
    before: pa.RecordBatch
    asks: "np.ndarray"
    new: ScoredPairs
    scored: int


def _states(
    group: int,
    came: pa.RecordBatch,
    left: pa.Array,
    plan: GroupPlan,
    items: ReadGroup,
    kept: ReadGroup,
    settings: NeighborSettings,
) -> Iterator[_State]:
    """The state of a group; nothing of one that has no items."""
    rows = [batch for batch in items(group) if batch.num_rows]
    if not rows:
        return
    whole = pa.concat_batches(rows)
    rows.clear()
    mine = pa.array(plan.group[units_of_rows(whole, plan)] == group)
    stays = pc.and_(mine, pc.invert(pc.is_in(whole["item_id"], came["item_id"])))
    whole = query_rows(whole.filter(stays))
    before = _aligned(whole, kept(group))
    asks = _must_ask(before, left, settings)
    if not settings.rules.caps:
        # Those need not be compared with what came.
        whole, before = whole.filter(pa.array(~asks)), before.filter(pa.array(~asks))
        asks = asks[~asks]
    new, scored = pairs_above_floor(whole, before, eligible_rows(came), settings)
    if settings.rules.caps:
        asks[new[0]] = True
    yield _State(whole, before, asks, new, scored)


def update_neighbors(
    batches: Iterator[pa.RecordBatch],
    plan: GroupPlan,
    items: ReadGroup,
    kept: ReadGroup,
    settings: NeighborSettings,
    done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    """The neighbours of the items that stay, but for those that have to ask again.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every group.
        plan: the groups.
        items: reads a group's rows of the lists table as it is now.
        kept: reads rows of NEIGHBORS of an earlier night by group.
        settings: what neighbours are.
        done: is told of every group's end.

    Yields:
        batches of NEIGHBORS, in the order of the lists.
    """
    for group, came, left in _by_group(batches):
        scored = 0
        for state in _states(group, came, left, plan, items, kept, settings):
            scored = state.scored
            if settings.rules.caps:
                yield state.before.filter(pa.array(~state.asks))
            else:
                ids = eligible_rows(came)["item_id"]
                yield _updated(state.before, left, ids, state.new, settings.kept)
        done(scored)


def _aligned(items: pa.RecordBatch, kept: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    """The kept row of each item."""
    nothing = pa.RecordBatch.from_pylist([], schema=NEIGHBORS)
    rows = [batch.select(NEIGHBORS.names).cast(NEIGHBORS) for batch in kept]
    before = pa.concat_batches([nothing, *rows])
    place = pc.index_in(items["item_id"], before["item_id"])
    found = before.take(place)
    columns = [items["item_id"], items["list"], *(found[n] for n in NEIGHBORS.names[2:])]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def _flat(lists: pa.Array) -> tuple[Int64, pa.StructArray]:
    """The values of a list column without nulls inside, and which row each is of."""
    sizes = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    return np.repeat(np.arange(len(lists)), sizes), lists.flatten()


def _updated(
    before: pa.RecordBatch, left: pa.Array, came: pa.Array, new: ScoredPairs, most: int
) -> pa.RecordBatch:
    """Rows of NEIGHBORS brought up to date; those that nobody left or joined stay as they are."""
    owner, flat = _flat(before["neighbors"])
    moved = np.zeros(before.num_rows, dtype=bool)
    moved[owner[np.asarray(pc.is_in(flat.field("similar_id"), left))]] = True
    moved[new[0]] = True
    rows = np.flatnonzero(moved)
    place = np.cumsum(moved) - 1
    some = before.take(pa.array(rows))
    merged = _merged(some, left, came, (place[new[0]], new[1], new[2]), most)
    both = pa.concat_batches([before.filter(pa.array(~moved)), merged])
    order = np.argsort(np.concatenate([np.flatnonzero(~moved), rows]))
    return both.take(pa.array(order))


def _merged(
    before: pa.RecordBatch, left: pa.Array, came: pa.Array, new: ScoredPairs, most: int
) -> pa.RecordBatch:
    """Rows of NEIGHBORS without those that left and with those that were taken in."""
    owner, flat = _flat(before["neighbors"])
    stays = ~np.asarray(pc.is_in(flat.field("similar_id"), left))
    rows = np.concatenate([owner[stays], new[0]])
    scores = np.concatenate([flat.field("score").to_numpy()[stays], new[2]])
    ids = pa.concat_arrays(
        [flat.field("similar_id").filter(pa.array(stays)), came.take(pa.array(new[1]))]
    )

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(ids.take(pa.array(some)), tiebreaker="dense"))

    order = rank_order(rows, scores.astype(np.float32), by_id)
    total = np.bincount(rows, minlength=before.num_rows)
    order = order[rank_in_row(rows[order]) < most]
    counts = np.minimum(total, most)
    ends = np.cumsum(counts)
    structs = pa.StructArray.from_arrays(
        [ids.take(pa.array(order)), pa.array(scores[order], pa.float32())], fields=list(NEIGHBOR)
    )
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    cut = total > most
    last = structs.take(pa.array(ends - 1, mask=~cut))
    columns = [
        before["item_id"],
        before["list"],
        pa.ListArray.from_arrays(offsets, structs),
        pc.if_else(pa.array(cut), last, before["floor"]),
        before["probes"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)
