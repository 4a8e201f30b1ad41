"""Update the neighbours of the items that stay by what arrived in their lists and what departed.

An item's neighbours are kept beyond the k that are shown, down to a floor: no candidate that ranks
before the floor is missing. An arrival that ranks before the floor enters the list. If departures
make the list shorter than k, the item has to be searched again. With caps, so has every item whose
list is touched, because candidates that the caps excluded may now enter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.arrivals import NeighborSettings, ScoredPairs, pairs_above_floor
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.join import OnGroupDone, ReadGroup
from pipeline.retrieval.loaded_group import units_of_rows
from pipeline.retrieval.neighbor_rows import flatten_lists, neighbors_of_items, update_rows
from pipeline.retrieval.reverse_probes import MOVES
from pipeline.retrieval.rules import eligible_rows, query_rows

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GroupReader:
    """Reads what an update needs of each group.

    Attributes:
        plan: the groups.
        items: reads a group's rows of the lists table as it is now.
        neighbors: reads a group's rows of the NEIGHBORS that are updated.
    """

    plan: GroupPlan
    items: ReadGroup
    neighbors: ReadGroup


@dataclass(frozen=True)
class _Moves:
    """What has changed in the lists that items of a group probe.

    Attributes:
        group: the group.
        arrivals: rows of MOVES.
        departures: string[n], ids.
    """

    group: int
    arrivals: pa.RecordBatch
    departures: pa.Array


def _moves_by_group(batches: Iterator[pa.RecordBatch]) -> Iterator[_Moves]:
    for group, sent in packed_batches.iter_keys(batches, MOVES):
        moves = packed_batches.concat(sent, MOVES)
        has_vector = moves["vector"].is_valid()
        departures = moves.filter(pc.invert(has_vector))["item_id"]
        yield _Moves(group, moves.filter(has_vector), departures)


def find_incomplete(
    batches: Iterator[pa.RecordBatch], reader: GroupReader, settings: NeighborSettings
) -> Iterator[pa.RecordBatch]:
    """The items that stay and have to be searched again.

    Args:
        batches: packed batches of `send_moves`, sorted by group; an empty cell for every group.
        reader: reads the groups.
        settings: what neighbours are.

    Yields:
        their rows of the lists table.
    """
    for moves in _moves_by_group(batches):
        if settings.rules.caps:
            for state in _group_states(moves, reader, settings):
                yield state.items.filter(pa.array(state.is_incomplete))
            continue
        ids = [pa.array([], pa.string())]
        for rows in reader.neighbors(moves.group):
            staying = rows.filter(pc.invert(pc.is_in(rows["item_id"], moves.departures)))
            mask = _incomplete_mask(staying, moves.departures, settings)
            ids.append(staying["item_id"].filter(pa.array(mask)))
        incomplete = pa.concat_arrays(ids)
        for rows in reader.items(moves.group) if len(incomplete) else ():
            matches = rows.filter(pc.is_in(rows["item_id"], incomplete))
            # Every group with a part of a split list reads all rows of the list.
            yield matches.filter(_is_in_group(matches, reader.plan, moves.group))


def _is_in_group(rows: pa.RecordBatch, plan: GroupPlan, group: int) -> pa.Array:
    return pa.array(plan.group_of_unit[units_of_rows(rows, plan)] == group)


def _incomplete_mask(
    rows: pa.RecordBatch, departures: pa.Array, settings: NeighborSettings
) -> Bools:
    """Which rows of NEIGHBORS may lack a neighbour once the departures are gone: bool[n]."""
    row_of, neighbors = flatten_lists(rows["neighbors"])
    stays = ~np.asarray(pc.is_in(neighbors.field("similar_id"), departures))
    counts = np.bincount(row_of[stays], minlength=rows.num_rows)
    # Without a floor the item has all candidates of its lists.
    is_cut = np.asarray(rows["floor"].is_valid())
    mask: Bools = (counts < max(settings.k, settings.chosen_from)) & is_cut
    if settings.widens:
        mask |= (counts < settings.k) | (rows["probes"].to_numpy() != settings.nprobe)
    if settings.rules.caps:
        mask[row_of[~stays]] = True
    return mask


@dataclass(frozen=True)
class _GroupState:
    """The items of a group that stay.

    Attributes:
        items: their rows of the lists table.
        neighbors: their rows of NEIGHBORS, before the update.
        is_incomplete: bool[n], which have to be searched again.
        entering: pairs of an item and an arrival that ranks before the item's floor.
        scored: how many pairs were scored.
    """

    items: pa.RecordBatch
    neighbors: pa.RecordBatch
    is_incomplete: Bools
    entering: ScoredPairs
    scored: int


def _group_states(
    moves: _Moves, reader: GroupReader, settings: NeighborSettings
) -> Iterator[_GroupState]:
    """The state of a group; nothing if the group has no items."""
    batches = [batch for batch in reader.items(moves.group) if batch.num_rows]
    if not batches:
        return
    items = pa.concat_batches(batches)
    batches.clear()
    has_arrived = pc.is_in(items["item_id"], moves.arrivals["item_id"])
    stays = pc.and_(_is_in_group(items, reader.plan, moves.group), pc.invert(has_arrived))
    items = query_rows(items.filter(stays))
    neighbors = neighbors_of_items(items, reader.neighbors(moves.group))
    is_incomplete = _incomplete_mask(neighbors, moves.departures, settings)
    if not settings.rules.caps:
        # Items that are searched again need not be compared with the arrivals.
        is_complete = pa.array(~is_incomplete)
        items, neighbors = items.filter(is_complete), neighbors.filter(is_complete)
        is_incomplete = is_incomplete[~is_incomplete]
    arrivals = eligible_rows(moves.arrivals)
    entering, scored = pairs_above_floor(items, neighbors, arrivals, settings)
    if settings.rules.caps:
        is_incomplete[entering.rows] = True
    yield _GroupState(items, neighbors, is_incomplete, entering, scored)


def update_neighbors(
    batches: Iterator[pa.RecordBatch],
    reader: GroupReader,
    settings: NeighborSettings,
    on_group_done: OnGroupDone,
) -> Iterator[pa.RecordBatch]:
    """The neighbours of the items that stay, without those that have to be searched again.

    Args:
        batches: packed batches of `send_moves`, sorted by group; an empty cell for every group.
        reader: reads the groups.
        settings: what neighbours are.
        on_group_done: called at the end of every group.

    Yields:
        batches of NEIGHBORS, in the order of the lists.
    """
    for moves in _moves_by_group(batches):
        scored = 0
        for state in _group_states(moves, reader, settings):
            scored = state.scored
            if settings.rules.caps:
                yield state.neighbors.filter(pa.array(~state.is_incomplete))
            else:
                ids = eligible_rows(moves.arrivals)["item_id"]
                yield update_rows(state.neighbors, moves.departures, ids, state.entering, settings)
        on_group_done(scored)
