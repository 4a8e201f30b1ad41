"""Rows of NEIGHBORS: read them for items, and bring them up to date."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.arrivals import NeighborSettings, ScoredPairs
from pipeline.retrieval.neighbor_values import neighbors_of, ranked_by
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order, ties_by_id
from pipeline.storage.list_schemas import NEIGHBORS


def neighbors_of_items(
    items: pa.RecordBatch, neighbors: Iterator[pa.RecordBatch]
) -> pa.RecordBatch:
    """The row of NEIGHBORS of each item, in the order of the items."""
    batches = (batch.select(NEIGHBORS.names).cast(NEIGHBORS) for batch in neighbors)
    rows = packed_batches.concat(batches, NEIGHBORS)
    rows = rows.take(pc.index_in(items["item_id"], rows["item_id"]))
    columns = [items["item_id"], items["list"], *(rows[n] for n in NEIGHBORS.names[2:])]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def flatten_lists(lists: pa.Array) -> tuple[Int64, pa.StructArray]:
    """The row of each value of a list column, and the values; null lists have none."""
    sizes = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    return np.repeat(np.arange(len(lists)), sizes), lists.flatten()


def update_rows(
    rows: pa.RecordBatch,
    departures: pa.Array,
    arrival_ids: pa.Array,
    entering: ScoredPairs,
    settings: NeighborSettings,
) -> pa.RecordBatch:
    """Update rows of NEIGHBORS; rows that nothing left or entered are not built again.

    Args:
        rows: of NEIGHBORS.
        departures: string[m], ids of candidates that are gone.
        arrival_ids: string[p], ids of candidates that are new.
        entering: pairs of a row and a position in `arrival_ids` that rank before the row's floor.
        settings: what neighbours are.
    """
    row_of, neighbors = flatten_lists(rows["neighbors"])
    is_touched = np.zeros(rows.num_rows, dtype=bool)
    has_departed = np.asarray(pc.is_in(neighbors.field("similar_id"), departures))
    is_touched[row_of[has_departed]] = True
    is_touched[entering.rows] = True
    touched = np.flatnonzero(is_touched)
    position = np.cumsum(is_touched) - 1
    merged = _merge_rows(
        rows.take(pa.array(touched)),
        departures,
        arrival_ids,
        entering._replace(rows=position[entering.rows]),
        settings,
    )
    both = pa.concat_batches([rows.filter(pa.array(~is_touched)), merged])
    order = np.argsort(np.concatenate([np.flatnonzero(~is_touched), touched]))
    return both.take(pa.array(order))


def _merge_rows(
    rows: pa.RecordBatch,
    departures: pa.Array,
    arrival_ids: pa.Array,
    entering: ScoredPairs,
    settings: NeighborSettings,
) -> pa.RecordBatch:
    """Rows of NEIGHBORS without the departures and with the arrivals that enter."""
    capacity, has_boosts = settings.capacity, settings.rules.boosts.exist
    row_of, neighbors = flatten_lists(rows["neighbors"])
    stays = ~np.asarray(pc.is_in(neighbors.field("similar_id"), departures))
    owners = np.concatenate([row_of[stays], entering.rows])
    before, cosine = ranked_by(neighbors).to_numpy(), neighbors.field("score").to_numpy()
    scores = np.concatenate([before[stays], entering.scores])
    cosines = np.concatenate([cosine[stays], entering.cosines])
    ids = pa.concat_arrays(
        [
            neighbors.field("similar_id").filter(pa.array(stays)),
            arrival_ids.take(pa.array(entering.others)),
        ]
    )
    order = rank_order(owners, scores.astype(np.float32), ties_by_id(ids))
    total = np.bincount(owners, minlength=rows.num_rows)
    order = order[rank_in_row(owners[order]) < capacity]
    ends = np.cumsum(np.minimum(total, capacity))
    structs = neighbors_of(
        ids.take(pa.array(order)),
        scores[order].astype(np.float32),
        cosines[order].astype(np.float32) if has_boosts else None,
    )
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    # A row that was cut has a new floor: its last neighbour.
    is_cut = total > capacity
    last = structs.take(pa.array(ends - 1, mask=~is_cut))
    columns = [
        rows["item_id"],
        rows["list"],
        pa.ListArray.from_arrays(offsets, structs),
        pc.if_else(pa.array(is_cut), last, rows["floor"]),
        rows["probes"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)
