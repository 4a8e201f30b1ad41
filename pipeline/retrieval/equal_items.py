"""Equal items: those of one list with the same vector, which no rule tells apart.

They have the same score for every query, so one stands for all. Only the lowest ids among them can
be in a top k: what is held in memory and scored does not grow with the number of equal items.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64, concat_ranges, rank_in_row, rank_order
from pipeline.retrieval.vectors import Float32, float16_rows


class EqualClasses:
    """The classes of equal items of an index.

    Items are numbered in the order of their ids. Each class keeps its `max_members` lowest ids, of
    which the first represents it.

    Attributes:
        first: int64[classes], the first item of each class.
        of_first: int64[n], the class that an item is the first of; -1 for other items.
    """

    def __init__(
        self,
        lists: Int64,
        vectors: pa.Array,
        by_id: Int64,
        max_members: int,
        kinds: Int64 | None,
    ) -> None:
        """Find the classes; arguments as for `equal_classes`."""
        self._max_members = max_members
        self._members, self._starts = equal_classes(lists, vectors, by_id, max_members, kinds)
        self._sizes = np.diff(self._starts, append=len(self._members))
        self.first = self._members[self._starts]
        self.of_first = np.full(len(by_id), -1, dtype=np.int64)
        self.of_first[self.first] = np.arange(len(self.first))

    def expand(self, rows: Int64, classes: Int64, scores: Float32) -> tuple[Int64, Int64, Int64]:
        """The items of classes, best first, ties by id, at most `max_members` a row.

        Args:
            rows: int64[n], the query of each class, ascending.
            classes: int64[n].
            scores: float32[n].

        Returns:
            rows, items, and the position in `scores` of each.
        """
        sizes, positions = self._sizes[classes], np.arange(len(classes))
        if not len(classes) or sizes.max() == 1:
            return rows, self.first[classes], positions
        items = self._members[concat_ranges(self._starts[classes], sizes)]
        rows, positions = np.repeat(rows, sizes), np.repeat(positions, sizes)
        order = rank_order(rows, scores[positions], items.__getitem__)
        order = order[rank_in_row(rows[order]) < self._max_members]
        return rows[order], items[order], positions[order]


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
