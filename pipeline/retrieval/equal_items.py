"""Equal items: those of one list with the same vector, which no rule tells apart.

They have the same score for every query, so one stands for all. Only the lowest ids among them can
be in a top k: what is held in memory and scored does not grow with the number of equal items.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64, rank_in_row
from pipeline.retrieval.vectors import float16_rows


def equal_classes(
    lists: Int64, vectors: pa.Array, by_id: Int64, max_members: int, kinds: Int64 | None = None
) -> tuple[Int64, Int64]:
    """Sort items into classes of equal ones, list by list.

    Args:
        lists: int64[n], the list of each item.
        vectors: binary[n].
        by_id: int64[n], the items in the order of their ids.
        max_members: how many items of a class are kept: those with the lowest ids.
        kinds: int64[n], equal for items that no rule tells apart; None if there are no such rules.

    Returns:
        positions in `by_id`, class by class, ascending within a class; and the position at which
        each class starts.
    """
    codes = np.asarray(vectors.dictionary_encode().indices)[by_id]
    keys = [codes, lists[by_id]] if kinds is None else [kinds[by_id], codes, lists[by_id]]
    members = np.lexsort(keys)
    is_new = np.zeros(len(members), dtype=bool)
    is_new[:1] = True
    for key in keys:
        is_new[1:] |= np.diff(key[members]) != 0
    is_kept = rank_in_row(np.cumsum(is_new)) < max_members
    return members[is_kept], np.flatnonzero(is_new[is_kept])


def keep_lowest_ids(rows: pa.RecordBatch, lists: Int64, max_members: int) -> Int64:
    """Positions of the rows without equal items beyond the lowest ids of each class.

    Args:
        rows: columns item_id, vector, same and kind; equal vectors stand together.
        lists: int64[n], the list of each row.
        max_members: how many rows with the same list, vector, `same` and `kind` are kept.
    """
    values = float16_rows(rows["vector"]).view(np.uint16)
    is_new = np.ones(len(values), dtype=bool)
    is_new[1:] = (values[1:] != values[:-1]).any(axis=1)
    run = np.cumsum(is_new) - 1
    is_crowded = np.bincount(run)[run] > max_members
    if not is_crowded.any():
        return np.arange(len(values))
    crowded = np.flatnonzero(is_crowded)
    crowd = rows.take(pa.array(crowded))
    same = crowd["same"].dictionary_encode(null_encoding="encode")
    list_and_same = lists[crowded] * np.int64(len(same.dictionary)) + np.asarray(same.indices)
    by_id = np.asarray(pc.sort_indices(crowd["item_id"]))
    kinds = np.asarray(pc.fill_null(crowd["kind"], 0)).astype(np.int64)
    members, _ = equal_classes(list_and_same, crowd["vector"], by_id, max_members, kinds)
    return np.sort(np.concatenate([np.flatnonzero(~is_crowded), crowded[by_id[members]]]))
