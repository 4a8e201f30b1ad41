"""Pins: neighbours that people have set to a rank of an item's list by hand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.pair_edits import EditedPairs
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import NO_RULES, Bools, Rules, Traits, pair_mask
from pipeline.retrieval.vectors import Float32, cosines, from_bytes, squared_norms
from pipeline.storage.list_schemas import (
    ITEM_TRAITS,
    NEIGHBOR,
    QUERY_TRAITS,
    SHOWN_NEIGHBOR,
    TRAITS,
    list_of,
)

# Why a neighbour is shown that was pinned.
PINNED = "pinned"

# Why a pin was not followed.
NO_ITEM_LIST = "the item has no list: it is not in the catalogue, has no vector, or does not ask"
NO_VECTOR = "similar_id is not in the catalogue, or has no vector"
NOT_ELIGIBLE = "similar_id may be in no list: rules.eligible, or it is denied"
NOT_SAME, DIFFERS, PRICE = "rules.same", "rules.differ or rules.collapse", "rules.price_ratio"
IS_DENIED = "the pair is denied"
IS_PINNED = "another pin has similar_id at another rank"
RANK_TAKEN = "another pin has the rank"

# A pin of an item, with what the rules read of the neighbour.
#   order: 0 if the edit names the item, 1 if it has a condition on it, 2 if it is of all items.
_NEIGHBOR_TRAITS = [TRAITS.field(name) for name in ("eligible", *ITEM_TRAITS)]
PIN = pa.struct(
    [
        *(("order", pa.int32()), ("rank", pa.int32()), ("similar_id", pa.string())),
        *(("item_where", pa.string()), ("vector", pa.binary())),
        *_NEIGHBOR_TRAITS,
    ]
)
# What is read of a neighbour.
PIN_COLUMNS = ("vector", *(field.name for field in _NEIGHBOR_TRAITS))
_KNOWN = pa.schema([PIN.field(name) for name in PIN_COLUMNS])
# An item with its pins, and the list that they are put into; `vector` and `neighbors` are null if
# it has no list.
PINNED_ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        *(TRAITS.field(name) for name in QUERY_TRAITS),
        ("neighbors", list_of(NEIGHBOR)),
        ("pins", list_of(PIN)),
    ]
)
REJECTED = pa.struct(
    [
        *(("order", pa.int32()), ("rank", pa.int32()), ("similar_id", pa.string())),
        *(("item_where", pa.string()), ("reason", pa.string())),
    ]
)
# The list with the pins, null if no pin was followed; by how many it has grown; and the pins that
# were not followed.
LISTS_WITH_PINS = pa.schema(
    [
        ("item_id", pa.string()),
        ("neighbors", list_of(SHOWN_NEIGHBOR)),
        ("added", pa.int64()),
        ("rejected", list_of(REJECTED)),
    ]
)


@dataclass(frozen=True)
class _Pin:
    """A pin, and the neighbour that it makes."""

    order: int
    rank: int
    similar_id: str
    item_where: str | None
    reason: str | None
    neighbor: dict[str, Any]

    @property
    def precedence(self) -> tuple[int, int, str, str]:
        return self.order, self.rank, self.similar_id, self.item_where or ""

    def rejected(self, reason: str) -> dict[str, Any]:
        names = ("order", "rank", "similar_id", "item_where")
        return {name: getattr(self, name) for name in names} | {"reason": reason}


def lists_with_pins(items: pa.RecordBatch, rules: Rules, k: int) -> pa.RecordBatch:
    """The lists of items with their pins: rows of LISTS_WITH_PINS.

    A pin is followed if the rules allow the pair, but for those on the score; caps do not count
    pins. Where two pins want one rank, or have one neighbour, the one that names the item goes
    first, then the one with a condition on it, then the lower rank, then the lower id.

    Args:
        items: rows of PINNED_ITEMS.
        rules: the rules on pairs.
        k: neighbours of an item, at most.
    """
    pins = _pins_of_rows(items, rules)
    rows = []
    for item, own_pins in zip(
        items.select(["item_id", "neighbors"]).to_pylist(), pins, strict=True
    ):
        followed: dict[int, _Pin] = {}
        rejected = []
        # Edits that differ in their dates only are one pin.
        distinct = {pin.precedence: pin for pin in own_pins}
        for _, pin in sorted(distinct.items()):
            ranks = {other.similar_id: rank for rank, other in followed.items()}
            if ranks.get(pin.similar_id) == pin.rank:
                # It says what another pin has said.
                continue
            reason = pin.reason or (IS_PINNED if pin.similar_id in ranks else None)
            reason = reason or (RANK_TAKEN if pin.rank in followed else None)
            if reason is None:
                followed[pin.rank] = pin
            else:
                rejected.append(pin.rejected(reason))
        before = (item["neighbors"] or [])[:k]
        neighbors = insert(before, followed, k) if followed else None
        rows.append(
            {
                "item_id": item["item_id"],
                "neighbors": neighbors,
                "added": len(neighbors) - len(before) if neighbors else 0,
                "rejected": rejected,
            }
        )
    return pa.RecordBatch.from_pylist(rows, schema=LISTS_WITH_PINS)


def with_neighbors(items: pa.RecordBatch, neighbors: pa.RecordBatch) -> pa.RecordBatch:
    """Items whose pins have what is known of their neighbours.

    Args:
        items: rows of PINNED_ITEMS.
        neighbors: similar_id and PIN_COLUMNS of the neighbours that the pins may lack.
    """
    sizes = np.asarray(pc.fill_null(pc.list_value_length(items["pins"]), 0))
    own = pa.RecordBatch.from_struct_array(items["pins"].flatten())
    places = np.asarray(pc.fill_null(pc.index_in(own["similar_id"], neighbors["similar_id"]), -1))
    is_lacking = (places >= 0) & np.asarray(own["vector"].is_null())
    known = pa.concat_batches([rows.select(PIN_COLUMNS).cast(_KNOWN) for rows in (own, neighbors)])
    known = known.take(pa.array(np.where(is_lacking, len(places) + places, np.arange(len(places)))))
    columns = [known[f.name] if f.name in PIN_COLUMNS else own[f.name] for f in PIN]
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    pins = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(PIN)))
    place = items.schema.get_field_index("pins")
    return items.set_column(place, items.schema.field(place), pins.cast(list_of(PIN)))


def insert(
    neighbors: Sequence[dict[str, Any]], pins: dict[int, _Pin], k: int
) -> list[dict[str, Any]]:
    """A list with pins at their ranks; after its end they follow one another.

    Args:
        neighbors: the list, best first.
        pins: by rank.
        k: neighbours, at most.
    """
    pinned = {pin.similar_id for pin in pins.values()}
    others = iter([one for one in neighbors if one["similar_id"] not in pinned])
    merged = [
        pins[rank].neighbor if rank in pins else next(others, None) for rank in range(1, k + 1)
    ]
    return [one for one in merged if one is not None]


def _pins_of_rows(items: pa.RecordBatch, rules: Rules) -> Iterator[list[_Pin]]:
    """The pins of each row, in any order, each with the reason why it can't be followed."""
    sizes = np.asarray(pc.fill_null(pc.list_value_length(items["pins"]), 0)).astype(np.int64)
    rows, flat = np.repeat(np.arange(len(sizes)), sizes), items["pins"].flatten()
    pins = pa.RecordBatch.from_struct_array(flat)
    reasons = np.full(len(rows), None, dtype=object)

    def refuse(reason: str, mask: Bools) -> None:
        reasons[mask & (reasons == None)] = reason  # noqa: E711 - compares each of an array

    own, others = items["vector"].take(pa.array(rows)), pins["vector"]
    refuse(NO_ITEM_LIST, np.asarray(own.is_null()))
    refuse(NO_VECTOR, np.asarray(others.is_null()))
    refuse(NOT_ELIGIBLE, ~np.asarray(pc.fill_null(pins["eligible"], True)))
    has_both = np.flatnonzero(reasons != NO_ITEM_LIST)
    has_both = has_both[np.asarray(others.is_valid())[has_both]]
    scores = np.full(len(rows), np.nan, dtype=np.float32)
    ranked_by = scores.copy()
    if len(has_both):
        scored = _scored(items, pins, rows, has_both, rules)
        scores[has_both], ranked_by[has_both] = scored.scores, scored.ranked_by
        for reason, mask in scored.excluded.items():
            full = np.zeros(len(rows), dtype=bool)
            full[has_both] = mask
            refuse(reason, full)
    result: list[list[_Pin]] = [[] for _ in sizes]
    columns = (pins[n].to_pylist() for n in ("order", "rank", "similar_id", "item_where"))
    for row, order, rank, similar_id, where, reason, score, by in zip(
        rows.tolist(), *columns, reasons.tolist(), scores.tolist(), ranked_by.tolist(), strict=True
    ):
        neighbor = {
            "similar_id": similar_id,
            "score": score,
            "ranked_by": by if rules.boosts.exist else None,
            "reason": PINNED,
        }
        result[row].append(_Pin(order, rank, similar_id, where, reason, neighbor))
    return iter(result)


@dataclass(frozen=True)
class _Scored:
    """Pairs of items and pinned neighbours: their scores, and which rules exclude which."""

    scores: Float32
    ranked_by: Float32
    excluded: dict[str, Bools]


def _scored(
    items: pa.RecordBatch, pins: pa.RecordBatch, rows: Int64, pairs: Int64, rules: Rules
) -> _Scored:
    """The scores of pairs that both have vectors, and the pairs that rules exclude.

    Args:
        items: rows of PINNED_ITEMS.
        pins: rows of PIN.
        rows: int64[pins], the item of each.
        pairs: int64[n], the pins to score.
        rules: the rules on pairs.
    """
    own = items.take(pa.array(rows[pairs]))
    other = pins.take(pa.array(pairs))
    left, right = from_bytes(own["vector"]), from_bytes(other["vector"])
    diagonal = np.arange(len(pairs))
    sides = (left, squared_norms(left)), (right, squared_norms(right))
    scores = cosines(*sides, diagonal, diagonal)
    traits = Traits.from_rows(own, rules), Traits.from_rows(other, rules)
    edited = _own_edits(traits[0].edits, other["similar_id"])
    ranked_by = rules.boosts.add_to_pairs(
        scores, traits[0].boosts, traits[1].boosts, (diagonal, diagonal), edited
    )
    parts = {
        IS_DENIED: replace(NO_RULES, deny=rules.deny, deny_conditional=rules.deny_conditional),
        DIFFERS: replace(NO_RULES, differ=rules.differ),
        PRICE: replace(NO_RULES, price_ratio=rules.price_ratio),
    }
    same = [value.as_py() for value in own["same"]], [value.as_py() for value in other["same"]]
    excluded = {NOT_SAME: np.array([a != b for a, b in zip(*same, strict=True)], dtype=bool)}
    for reason, part in parts.items():
        passes = pair_mask(part, *traits, edited, (diagonal, diagonal, scores))
        excluded[reason] = ~passes
    return _Scored(scores, ranked_by, excluded)


def _own_edits(edits: pa.ListArray, similar_ids: pa.Array) -> EditedPairs:
    """The edits by ids of the pairs of the i-th item and the i-th neighbour."""
    sizes = np.asarray(pc.fill_null(pc.list_value_length(edits), 0)).astype(np.int64)
    rows, flat = np.repeat(np.arange(len(sizes)), sizes), edits.flatten()
    wanted = similar_ids.take(pa.array(rows))
    here = np.asarray(pc.equal(flat.field("similar_id"), wanted))
    boosts = np.asarray(flat.field("boost")).astype(np.float64)
    return EditedPairs(rows[here], rows[here], boosts[here])
