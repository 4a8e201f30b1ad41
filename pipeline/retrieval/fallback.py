"""Lists with too few neighbours, filled up with items that were not found by their likeness.

The candidates of an item are the first items of a group: those with the item's own value in a
column, for instance, best-selling first. A candidate comes behind the neighbours unless a rule on
the pair forbids it, or a cap, counted with what the list has. The bounds of the score do not count:
a filled item has none.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.boosts import NO_BOOSTS
from pipeline.retrieval.caps import top_k_mask
from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Bools, Rules, Traits, hash_columns, pair_mask
from pipeline.storage.list_schemas import SHOWN_NEIGHBOR, TOP_ITEM, TRAITS, list_of

# A neighbour while its list is filled: with the values that caps count.
LISTED = pa.struct([*SHOWN_NEIGHBOR, TRAITS.field("capped")])
# Of each group so many items are candidates for each place of a list, up to so many in all, but not
# fewer than a list has places. Spark cuts groups before it shuffles them as long as no more than
# 1,000 are kept (spark.sql.optimizer.windowGroupLimitThreshold), and k is 1,000 at most.
_CANDIDATES_PER_PLACE, _MAX_CANDIDATES = 10, 1000


def candidates_of_group(k: int) -> int:
    """How many items of a group are candidates for lists of k items."""
    return max(k, min(_CANDIDATES_PER_PLACE * k, _MAX_CANDIDATES))


def fill(rows: pa.RecordBatch, reason: str, rules: Rules, k: int) -> pa.ListArray:
    """Fill lists up to k items.

    Args:
        rows: item_id string, null for a text that is no item; QUERY_TRAITS that hard rules read;
            neighbors list<LISTED>; candidates list<TOP_ITEM>, best first, null for none.
        reason: what is said of an item that fills a list.
        rules: the rules on pairs; the bounds of the score and the boosts are not used.
        k: how many items a list may hold.

    Returns:
        list<LISTED>[n], the neighbours and behind them the candidates that were taken.
    """
    rules = replace(rules, min_score=-1.0, max_score=1.0, boosts=NO_BOOSTS)
    row_of, listed = flatten_lists(rows["neighbors"].cast(list_of(LISTED)))
    candidate_of, candidates = flatten_lists(rows["candidates"].cast(list_of(TOP_ITEM)))
    is_possible = _is_new(rows["item_id"], (row_of, listed), (candidate_of, candidates))
    is_possible &= _passes_rules(rows, candidate_of, candidates, rules)
    candidate_of = candidate_of[is_possible]
    both = pa.concat_arrays([listed, _as_listed(candidates.filter(pa.array(is_possible)), reason)])
    owners = np.concatenate([row_of, candidate_of])
    order: Int64 = np.argsort(owners, kind="stable")
    capped = hash_columns(both.field("capped"), len(rules.caps)).T
    is_neighbor = order < len(listed)
    mask = top_k_mask(owners[order], capped[order], rules.caps, k, is_neighbor)
    taken = order[mask]
    sizes = np.bincount(owners[taken], minlength=rows.num_rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, both.take(pa.array(taken)))
    return lists.cast(list_of(LISTED))


def _is_new(
    items: pa.Array, listed: tuple[Int64, pa.StructArray], candidates: tuple[Int64, pa.StructArray]
) -> Bools:
    """Which candidates are neither the item itself nor in its list: bool[candidates]."""
    row_of, candidate_of = listed[0], candidates[0]
    texts = [listed[1].field("similar_id"), candidates[1].field("item_id"), items]
    codes = pa.concat_arrays(texts).dictionary_encode().indices
    numbers = np.asarray(pc.fill_null(codes, -1)).astype(np.int64)
    of_listed, of_candidates, own = np.split(numbers, np.cumsum([len(texts[0]), len(texts[1])]))
    width = np.int64(len(numbers) + 1)
    pairs = candidate_of * width + of_candidates
    mask: Bools = ~np.isin(pairs, row_of * width + of_listed)
    mask &= of_candidates != own[candidate_of]
    return mask


def _passes_rules(
    rows: pa.RecordBatch, candidate_of: Int64, candidates: pa.StructArray, rules: Rules
) -> Bools:
    """Which candidates the rules on pairs let pass: bool[candidates]."""
    codes = np.asarray(candidates.field("item_id").dictionary_encode().indices).astype(np.int64)
    # Each item is read once, however many lists it is a candidate for.
    _, first = np.unique(codes, return_index=True)
    distinct = pa.RecordBatch.from_struct_array(candidates.take(pa.array(first)))
    left, right = (Traits.from_rows(side, rules) for side in (rows, distinct))
    edited = left.edited_pairs(distinct["item_id"])
    scores = np.zeros(len(codes), dtype=np.float32)
    return pair_mask(rules, left, right, edited, (candidate_of, codes, scores))


def _as_listed(candidates: pa.StructArray, reason: str) -> pa.StructArray:
    columns = {
        "similar_id": candidates.field("item_id"),
        "reason": pa.array([reason] * len(candidates), pa.string()),
        "capped": candidates.field("capped"),
    }
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(len(candidates), field.type)
        for field in LISTED
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(LISTED))
