"""The walk down an item's candidates, the best first: which are taken, and which rule removes each.

The same as the search and the merge do to many items at once, for one item, with reasons.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inspection.item import Item
from pipeline.query.index import COLUMNS, Index
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.vectors import Float32, cosines, from_bytes, squared_norms

# What removes a candidate. Those of caps are of the value at their place: see Walk.caps.
ELIGIBLE, SAME, DENY = "eligible", "same", "deny"
OWN, PRICE, MIN_SCORE, MAX_SCORE = "collapse", "price_ratio", "min_score", "max_score"
_BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class Removed:
    """A candidate that a rule removes.

    Attributes:
        rule: the rule's name; of max_per with its column, max_per.brand.
        by: the nearer items that take its place, where there are such.
    """

    rule: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A candidate in its place.

    Attributes:
        item_id: its id.
        score: the cosine.
        removed: by which rule; None if it is taken.
        rank: among those taken, from 1; of one that is removed, of the next one taken.
    """

    item_id: str
    score: float
    removed: Removed | None
    rank: int


def walk(
    index: Index, item: Item, lists: npt.NDArray[np.int32], caps: list[str]
) -> list[Candidate]:
    """All candidates of the lists that are searched for an item, the best first.

    Args:
        index: the lists.
        item: one with a vector.
        lists: that are searched.
        caps: what caps count, by the names of their rules, in the order of `capped`.
    """
    batches = [with_traits(rows) for rows in index.items.of_lists(np.sort(lists), COLUMNS)]
    names = [name for name in batches[0].schema.names if name != "probes"]
    rows = pa.Table.from_batches([batch.select(names) for batch in batches])
    rows = rows.filter(pc.not_equal(rows["item_id"], item.item_id)).combine_chunks()
    if not rows.num_rows:
        return []
    whole = rows.to_batches()[0]
    scores = scored(item, whole["vector"])
    order = np.lexsort((np.asarray(pc.rank(whole["item_id"])), -scores.astype(np.float64)))
    barred = _barred(index.rules, item, whole, scores)
    capped = whole["capped"].to_pylist() if index.rules.caps else []
    ids = whole["item_id"].to_pylist()
    found: list[Candidate] = []
    held: dict[tuple[int, int], list[str]] = {}
    rank = 1
    for place in order.tolist():
        removed = Removed(barred[place]) if barred[place] else None
        if removed is None and capped:
            removed = _full(index.rules, capped[place], held, caps)
            if removed is None:
                for key in enumerate(capped[place]):
                    held.setdefault(key, []).append(ids[place])
        found.append(Candidate(ids[place], float(scores[place]), removed, rank))
        rank += removed is None
    return found


def scored(item: Item, vectors: pa.Array) -> Float32:
    """The cosines of an item and vectors in binary float16: float32[n]."""
    mine = item.vector
    parts = [np.empty(0, np.float32)]
    for start in range(0, len(vectors), _BLOCK_ROWS):
        some = from_bytes(vectors.slice(start, _BLOCK_ROWS))
        zeros: Int64 = np.zeros(len(some), dtype=np.int64)
        pair = (mine, squared_norms(mine)), (some, squared_norms(some))
        parts.append(cosines(*pair, zeros, np.arange(len(some))))
    return np.concatenate(parts)


def _full(
    rules: Rules, values: list[int], held: dict[tuple[int, int], list[str]], caps: list[str]
) -> Removed | None:
    """What caps hold against a candidate with these values."""
    for place, (value, most) in enumerate(zip(values, rules.caps, strict=True)):
        there = held.get((place, value), [])
        if value and len(there) >= most:
            return Removed(caps[place], tuple(there))
    return None


def _barred(rules: Rules, item: Item, rows: pa.RecordBatch, scores: Float32) -> list[str]:
    """For each candidate the first rule on items and pairs that removes it; '' for none."""
    assert item.row is not None  # noqa: S101 - it has a vector
    mine, theirs = Traits.of(item.row), Traits.of(rows)
    out = np.full(rows.num_rows, "", dtype=object)

    def bar(name: str, which: npt.NDArray[np.bool_]) -> None:
        out[which & (out == "")] = name

    bar(ELIGIBLE, ~np.asarray(pc.fill_null(rows["eligible"], True)))
    same = item.row["same"][0].as_py()
    bar(SAME, np.array([value != same for value in rows["same"].to_pylist()], dtype=bool))
    denied = item.row["denied"][0].as_py() or []
    bar(DENY, np.asarray(pc.is_in(rows["item_id"], pa.array(denied, pa.string()))))
    if rules.collapse:
        bar(OWN, (theirs.variant == mine.variant[0]) & (theirs.variant != 0))
    if rules.price_ratio is not None:
        ratio, (low, high) = theirs.price / mine.price[0], rules.price_ratio
        bar(PRICE, (ratio < low) | (ratio > high))
    wide = scores.astype(np.float64)
    bar(MIN_SCORE, wide < rules.min_score)
    bar(MAX_SCORE, wide > rules.max_score)
    names: list[str] = out.tolist()
    return names
