"""Which of the items that came into lists rank before the last that an item has."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.list_table import decode_probes
from pipeline.retrieval.loaded_group import keep_lowest_ids
from pipeline.retrieval.ranking import Int64, group_by_list
from pipeline.retrieval.rules import Rules, Traits, pair_mask
from pipeline.retrieval.vectors import (
    Float32,
    cosines,
    from_bytes,
    hash_vectors,
    squared_norms,
    unit_vectors,
)

# Scores that are computed at a time: 8 MB.
_PRODUCT = 1 << 21

# For each pair: the row of the item, the one that came, and their cosine.
ScoredPairs = tuple[Int64, Int64, Float32]


@dataclass(frozen=True)
class NeighborSettings:
    """What neighbours are.

    Attributes:
        k: how many an item has to have.
        kept: how many are kept.
        width: how many of its nearest lists an item probes; 0 for all.
        rules: what holds for pairs.
        widens: whether an item that is short of k probes more lists.
    """

    k: int
    kept: int
    width: int
    rules: Rules
    widens: bool = False


def pairs_above_floor(
    items: pa.RecordBatch, before: pa.RecordBatch, came: pa.RecordBatch, settings: NeighborSettings
) -> tuple[ScoredPairs, int]:
    """Pairs of an item and one that came to a list that it probes and ranks before its floor."""
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    if not items.num_rows or not came.num_rows:
        return nothing, 0
    floor = before["floor"]
    least = np.asarray(pc.fill_null(floor.field("score").cast(pa.float32()), -np.inf))
    least = np.where(np.asarray(floor.is_valid()), least, np.float32(-np.inf)).astype(np.float32)
    mine, theirs = (from_bytes(rows["vector"]) for rows in (items, came))
    left, right = (mine, squared_norms(mine)), (theirs, squared_norms(theirs))
    directions, others = unit_vectors(mine), unit_vectors(theirs)
    margin = np.float32((mine.shape[1] + 8) * 2.0**-22)
    same = _same(items, came)
    traits = Traits.of(items), Traits.of(came)
    denied = traits[0].denied_pairs(came["item_id"])
    found, scored = [nothing], 0
    for probing, arrived in _meeting(items, came, settings):
        step = max(1, _PRODUCT // len(arrived))
        for start in range(0, len(probing), step):
            some = probing[start : start + step]
            product = directions[some] @ others[arrived].T
            scored += product.size
            near, column = np.nonzero(product >= (least[some] - margin)[:, None])
            rows, new = some[near], arrived[column]
            alike = same[0][rows] == same[1][new]
            rows, new = rows[alike], new[alike]
            scores = cosines(left, right, rows, new)
            kept = scores >= least[rows]
            if settings.rules.any:
                kept &= pair_mask(settings.rules, *traits, denied, (rows, new, scores))
            found.append((rows[kept], new[kept], scores[kept]))
    rows, new, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    ties = np.flatnonzero(scores == least[rows])
    after = pc.greater(
        came["item_id"].take(pa.array(new[ties])),
        floor.field("similar_id").take(pa.array(rows[ties])),
    )
    kept = np.ones(len(rows), dtype=bool)
    kept[ties[np.asarray(pc.fill_null(after, False))]] = False
    return (rows[kept], new[kept], scores[kept]), scored


def _same(items: pa.RecordBatch, came: pa.RecordBatch) -> tuple["np.ndarray", "np.ndarray"]:
    """Numbers that are equal where the values of `same` are."""
    names = items.schema.names
    mine = items["same"] if "same" in names else pa.nulls(items.num_rows, pa.string())
    both = pa.concat_arrays([mine.cast(pa.string()), came["same"]])
    codes = np.asarray(both.dictionary_encode(null_encoding="encode").indices)
    return codes[: len(mine)], codes[len(mine) :]


def _meeting(
    items: pa.RecordBatch, came: pa.RecordBatch, settings: NeighborSettings
) -> Iterator[tuple[Int64, Int64]]:
    """For each list: the items that probe it, and those that came to it, few of equal ones."""
    lists = came["list"].to_numpy()
    arrived = dict(group_by_list(lists, np.arange(came.num_rows)))
    if settings.width:
        probes = decode_probes(items["probes"])[:, : settings.width]
        rows, column = np.nonzero(np.isin(probes, lists))
        probing = dict(group_by_list(probes[rows, column], rows))
    else:
        probing = dict.fromkeys(arrived, np.arange(items.num_rows))
    for number, mine in probing.items():
        new = arrived[number]
        # One more than is kept: so it is known that there were others.
        yield mine, new[_few(came.take(pa.array(new)), settings.kept + 1)]


def _few(rows: pa.RecordBatch, most: int) -> Int64:
    """Positions of the lowest ids of rows that are equal to rules, at most so many each."""
    keyed = pa.table({"hash": pa.array(hash_vectors(rows["vector"])), "item_id": rows["item_id"]})
    order = np.asarray(
        pc.sort_indices(keyed, sort_keys=[("hash", "ascending"), ("item_id", "ascending")])
    )
    return order[keep_lowest_ids(rows.take(pa.array(order)), np.zeros(len(order), np.int64), most)]
