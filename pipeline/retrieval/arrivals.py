"""Which of the items that arrived in lists enter the neighbours of an item that was there before.

The neighbours of an item are kept down to a floor: no candidate that ranks before the floor is
missing. An arrival enters if it ranks before the floor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.equal_items import keep_lowest_ids
from pipeline.retrieval.list_table import decode_probes
from pipeline.retrieval.neighbor_values import ranked_by
from pipeline.retrieval.ranking import Int64, group_by_list
from pipeline.retrieval.rules import Rules, Traits, pair_mask
from pipeline.retrieval.score_mask import ScoreMask
from pipeline.retrieval.vectors import (
    Float32,
    cosines,
    error_bound,
    from_bytes,
    hash_vectors,
    lengths,
    squared_norms,
    unit_vectors,
)

# Scores that are computed at a time: 8 MB.
_PRODUCT = 1 << 21


class ScoredPairs(NamedTuple):
    """Pairs of an item and an arrival.

    Attributes:
        rows: int64[pairs], the item's row.
        others: int64[pairs], the arrival's row.
        scores: float32[pairs], what they are ranked by.
        cosines: float32[pairs].
    """

    rows: Int64
    others: Int64
    scores: Float32
    cosines: Float32


_NO_PAIRS = ScoredPairs(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
)


@dataclass(frozen=True)
class NeighborSettings:
    """What the neighbours of an item are.

    Attributes:
        k: how many an item has to have.
        capacity: how many are kept: k, or `chosen_from`, and a reserve.
        nprobe: how many of its nearest lists an item probes; 0 for all.
        rules: the rules on pairs.
        widens: whether an item with fewer than k neighbours probes more lists.
        chosen_from: how many of the nearest its list is chosen from; 0 if it is the k nearest.
    """

    k: int
    capacity: int
    nprobe: int
    rules: Rules
    widens: bool = False
    chosen_from: int = 0


def pairs_above_floor(
    items: pa.RecordBatch,
    neighbors: pa.RecordBatch,
    arrivals: pa.RecordBatch,
    settings: NeighborSettings,
) -> tuple[ScoredPairs, int]:
    """Pairs of an item and an arrival that it probes the list of and that ranks before its floor.

    Args:
        items: rows of the lists table.
        neighbors: the kept row of NEIGHBORS of each item.
        arrivals: rows of MOVES.
        settings: what neighbours are.

    Returns:
        the pairs; and how many were scored.
    """
    if not items.num_rows or not arrivals.num_rows:
        return _NO_PAIRS, 0
    floor = neighbors["floor"]
    min_scores = _floor_scores(floor)
    own, other = (from_bytes(rows["vector"]) for rows in (items, arrivals))
    left, right = (own, squared_norms(own)), (other, squared_norms(other))
    own_scales = (1 / lengths(left[1])).astype(np.float32)[:, None]
    other_units = unit_vectors(*right)
    # The error of a float32 product, as in search.py; the exact score decides.
    rules = settings.rules
    margin = np.float32(float(error_bound(own.shape[1])) + rules.boosts.margin)
    least = (min_scores - margin)[:, None]
    own_same, other_same = _same_codes(items, arrivals)
    traits = Traits.from_rows(items, rules), Traits.from_rows(arrivals, rules)
    edited = traits[0].edited_pairs(arrivals["item_id"])
    boosted = ScoreMask(rules, *traits, edited) if rules.boosts.exist else None
    parts, scored = [_NO_PAIRS], 0
    for block, arrived, is_probed in _blocks_by_list(items, arrivals, settings):
        product = own[block] @ other_units[arrived].T
        product *= own_scales[block]
        if boosted is not None:
            boosted.add_boosts(product, block, arrived, np.empty_like(product))
        scored += product.size
        is_probed &= product >= least[block]
        row, column = np.divmod(np.flatnonzero(is_probed), len(arrived))
        rows, others = block[row], arrived[column]
        is_same = own_same[rows] == other_same[others]
        rows, others = rows[is_same], others[is_same]
        cosine = cosines(left, right, rows, others)
        scores = cosine if boosted is None else boosted.ranked_by(cosine, rows, others)
        mask = scores >= min_scores[rows]
        if rules.excludes_pairs:
            mask &= pair_mask(rules, *traits, edited, (rows, others, cosine))
        parts.append(ScoredPairs(rows[mask], others[mask], scores[mask], cosine[mask]))
    rows, others, scores, cosine = map(np.concatenate, zip(*parts, strict=True))
    ties = np.flatnonzero(scores == min_scores[rows])
    ids = arrivals["item_id"].take(pa.array(others[ties]))
    floor_ids = floor.field("similar_id").take(pa.array(rows[ties]))
    is_after_floor = np.asarray(pc.fill_null(pc.greater(ids, floor_ids), False))
    mask = np.ones(len(rows), dtype=bool)
    mask[ties[is_after_floor]] = False
    return ScoredPairs(rows[mask], others[mask], scores[mask], cosine[mask]), scored


def _floor_scores(floor: pa.StructArray) -> Float32:
    """The score of each floor, minus infinity without one: float32[n]."""
    scores = np.asarray(pc.fill_null(ranked_by(floor).cast(pa.float32()), -np.inf))
    is_valid = np.asarray(floor.is_valid())
    return np.where(is_valid, scores, np.float32(-np.inf)).astype(np.float32)


def _same_codes(
    items: pa.RecordBatch, arrivals: pa.RecordBatch
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Codes of items and arrivals that are equal if the values of `same` are."""
    has_same = "same" in items.schema.names
    own = items["same"] if has_same else pa.nulls(items.num_rows, pa.string())
    both = pa.concat_arrays([own.cast(pa.string()), arrivals["same"]])
    codes = np.asarray(both.dictionary_encode(null_encoding="encode").indices)
    return codes[: len(own)], codes[len(own) :]


def _blocks_by_list(
    items: pa.RecordBatch, arrivals: pa.RecordBatch, settings: NeighborSettings
) -> Iterator[tuple[Int64, Int64, npt.NDArray[np.bool_]]]:
    """Items of one list, the arrivals in the lists that any of them probes, and who probes which.

    The items of a list probe nearly the same lists. So a product of them and all these arrivals has
    few pairs too many, and no item is copied for each list that it probes.

    Yields:
        int64[n], rows of `items`; int64[m], rows of `arrivals` without a surplus of equal ones; and
        bool[n, m], whether the item probes the arrival's list.
    """
    by_list = [*group_by_list(arrivals["list"].to_numpy(), np.arange(arrivals.num_rows))]
    # One more than is kept, so that an item knows that there were others.
    arrived = [_without_surplus(arrivals, rows, settings.capacity + 1) for _, rows in by_list]
    if not settings.nprobe:
        every = np.concatenate(arrived)
        for block in _blocks(np.arange(items.num_rows), len(every)):
            yield block, every, np.ones((len(block), len(every)), dtype=bool)
        return
    numbers = np.array([number for number, _ in by_list])
    probes = decode_probes(items["probes"])[:, : settings.nprobe]
    # For each list its place in `numbers`; those without arrivals share a place of their own.
    place_of_list = np.full(max(probes.max(), numbers[-1]) + 1, len(numbers))
    place_of_list[numbers] = np.arange(len(numbers))
    places = place_of_list[probes]
    for _, rows in group_by_list(items["list"].to_numpy(), np.arange(items.num_rows)):
        probed = np.unique(places[rows])
        probed = probed[probed < len(numbers)]
        if not len(probed):
            continue
        columns = np.concatenate([arrived[place] for place in probed])
        place_of_column = np.repeat(probed, [len(arrived[place]) for place in probed])
        for block in _blocks(rows, len(columns)):
            probes_list = np.zeros((len(block), len(numbers) + 1), dtype=bool)
            np.put_along_axis(probes_list, places[block], values=True, axis=1)
            yield block, columns, probes_list.take(place_of_column, axis=1)


def _blocks(rows: Int64, columns: int) -> Iterator[Int64]:
    """The rows in blocks whose products with so many columns are not too large."""
    step = max(1, _PRODUCT // columns)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _without_surplus(arrivals: pa.RecordBatch, numbers: Int64, max_members: int) -> Int64:
    """Those of some rows of one list that have the lowest ids of each class of equal items."""
    if len(numbers) <= max_members:
        return numbers
    rows = arrivals.take(pa.array(numbers))
    keys = pa.table({"hash": pa.array(hash_vectors(rows["vector"])), "item_id": rows["item_id"]})
    order = np.asarray(
        pc.sort_indices(keys, sort_keys=[("hash", "ascending"), ("item_id", "ascending")])
    )
    ordered, one_list = rows.take(pa.array(order)), np.zeros(len(order), np.int64)
    kept: Int64 = numbers[order[keep_lowest_ids(ordered, one_list, max_members)]]
    return kept
