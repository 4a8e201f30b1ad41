"""The candidates of one item, ranked: which of them its list takes, and which rule removes each.

It does what the search and the merge do to many items at once, for one item, with reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections import RulesSection
from pipeline.inspection.version_tables import Item
from pipeline.query.index import COLUMNS, Index
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import NO_RULES, Rules, Traits, pair_mask, with_traits
from pipeline.retrieval.vectors import Float32, cosines, from_bytes, squared_norms

# The rules that remove a candidate; DIFFER and MAX_PER are followed by a column.
ELIGIBLE, SAME, DENY, DIFFER, MAX_PER = "eligible", "same", "deny", "differ", "max_per"
COLLAPSE, PRICE, MIN_SCORE, MAX_SCORE = "collapse", "price_ratio", "min_score", "max_score"
_BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class Removal:
    """The removal of a candidate by a rule.

    Attributes:
        rule: the rule's name; for max_per with its column, max_per.brand.
        nearer_items: the items that take its place, if the rule is a cap.
    """

    rule: str
    nearer_items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A candidate in its order.

    Attributes:
        item_id: its id.
        score: the cosine.
        ranked_by: the cosine with the boosts.
        removal: the rule that removes it; None if it is taken.
        rank: its rank among the candidates that are taken, from 1; if it is removed, the rank of
            the next one that is taken.
    """

    item_id: str
    score: float
    ranked_by: float
    removal: Removal | None
    rank: int


def rank_candidates(index: Index, item: Item, lists: npt.NDArray[np.int32]) -> list[Candidate]:
    """Rank all candidates in the lists that are searched for an item, the best first.

    Args:
        index: the lists.
        item: an item with a vector.
        lists: the lists that are searched.
    """
    section = index.published.rules or RulesSection()
    cap_names = [
        COLLAPSE if name == section.collapse else f"{MAX_PER}.{name}" for name in section.capped
    ]
    candidates = _rows(index, item, lists)
    if candidates is None:
        return []
    scores = cosine_scores(item, candidates["vector"])
    tie_break = np.asarray(pc.rank(candidates["item_id"]))
    assert item.row is not None  # noqa: S101 - it has a vector
    traits = Traits.from_rows(item.row, index.rules), Traits.from_rows(candidates, index.rules)
    pairs = np.zeros(len(scores), dtype=np.int64), np.arange(len(scores))
    boosts = index.rules.boosts
    edited = traits[0].edited_pairs(candidates["item_id"])
    ranked_by = boosts.add_to_pairs(scores, traits[0].boosts, traits[1].boosts, pairs, edited)
    order = np.lexsort((tie_break, -ranked_by.astype(np.float64)))
    removing_rules = _removing_rules(index.rules, section, item, candidates, traits, scores)
    capped = candidates["capped"].to_pylist() if index.rules.caps else []
    ids = candidates["item_id"].to_pylist()
    ranked: list[Candidate] = []
    # The items that are taken so far, by the number of the cap and the value that it counts.
    items_by_cap: dict[tuple[int, int], list[str]] = {}
    rank = 1
    for row in order.tolist():
        removal = Removal(removing_rules[row]) if removing_rules[row] else None
        if removal is None and capped:
            removal = _removal_by_cap(index.rules, capped[row], items_by_cap, cap_names)
            if removal is None:
                for cap_value in enumerate(capped[row]):
                    items_by_cap.setdefault(cap_value, []).append(ids[row])
        ranked.append(Candidate(ids[row], float(scores[row]), float(ranked_by[row]), removal, rank))
        rank += removal is None
    return ranked


def _rows(index: Index, item: Item, lists: npt.NDArray[np.int32]) -> pa.RecordBatch | None:
    """The rows of some lists without the item's own; None if there are none."""
    batches = [with_traits(rows) for rows in index.items.rows_of_lists(np.sort(lists), COLUMNS)]
    names = [name for name in batches[0].schema.names if name != "probes"]
    table = pa.Table.from_batches([batch.select(names) for batch in batches])
    table = table.filter(pc.not_equal(table["item_id"], item.item_id)).combine_chunks()
    return table.to_batches()[0] if table.num_rows else None


def cosine_scores(item: Item, vectors: pa.Array) -> Float32:
    """The cosines of an item and other vectors.

    Args:
        item: an item with a vector.
        vectors: binary, float16.

    Returns:
        float32[n].
    """
    query = item.vector
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = from_bytes(vectors.slice(start, _BLOCK_ROWS))
        zeros: Int64 = np.zeros(len(block), dtype=np.int64)
        sides = (query, squared_norms(query)), (block, squared_norms(block))
        scores.append(cosines(*sides, zeros, np.arange(len(block))))
    return np.concatenate(scores)


def _removal_by_cap(
    rules: Rules,
    values: list[int],
    items_by_cap: dict[tuple[int, int], list[str]],
    cap_names: Sequence[str],
) -> Removal | None:
    """The first cap that is full for a candidate with these values."""
    for number, (value, limit) in enumerate(zip(values, rules.caps, strict=True)):
        items = items_by_cap.get((number, value), [])
        if value and len(items) >= limit:
            return Removal(cap_names[number], tuple(items))
    return None


def _removing_rules(
    rules: Rules,
    section: RulesSection,
    item: Item,
    rows: pa.RecordBatch,
    traits: tuple[Traits, Traits],
    scores: Float32,
) -> list[str]:
    """For each candidate the first rule on items and pairs that removes it; '' for none."""
    assert item.row is not None  # noqa: S101 - it has a vector
    own, others = traits
    names = np.full(rows.num_rows, "", dtype=object)

    def remove(name: str, mask: npt.NDArray[np.bool_]) -> None:
        names[mask & (names == "")] = name

    remove(ELIGIBLE, ~np.asarray(pc.fill_null(rows["eligible"], True)))
    same = item.row["same"][0].as_py()
    remove(SAME, np.array([value != same for value in rows["same"].to_pylist()], dtype=bool))
    pairs = np.zeros(rows.num_rows, dtype=np.int64), np.arange(rows.num_rows), scores
    denials = replace(NO_RULES, deny=rules.deny, deny_conditional=rules.deny_conditional)
    edited = own.edited_pairs(rows["item_id"])
    remove(DENY, ~pair_mask(denials, own, others, edited, pairs))
    for name, value, values in zip(section.differing, own.differ, others.differ, strict=True):
        rule = COLLAPSE if name == section.collapse else f"{DIFFER}.{name}"
        remove(rule, (values == value[0]) & (values != 0))
    if rules.price_ratio is not None:
        ratio, (low, high) = others.price / own.price[0], rules.price_ratio
        remove(PRICE, (ratio < low) | (ratio > high))
    scores64 = scores.astype(np.float64)
    remove(MIN_SCORE, scores64 < rules.min_score)
    remove(MAX_SCORE, scores64 > rules.max_score)
    rule_names: list[str] = names.tolist()
    return rule_names
