"""Caps: how many items with the same value (of one brand, say) a query's list may hold.

A list is filled from the best candidate downwards. A candidate is taken unless the list already
holds as many items with one of its values as the cap of that value allows.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64, rank_in_row

Bools = npt.NDArray[np.bool_]


def top_k_mask(
    rows: Int64, values: Int64, caps: Sequence[int], k: int, listed: Bools | None = None
) -> Bools:
    """Which candidates are in the top k of their query under the caps: bool[n].

    Args:
        rows: int64[n], the query of each candidate; runs of equal rows, best candidate first.
        values: int64[n, caps], the value of each candidate that each cap counts; 0 is not counted.
        caps: how many candidates with one value a list may hold, for each column of `values`.
        k: how many candidates a list may hold in all.
        listed: bool[n], those that are in the list whatever the caps are; None for none.
    """
    rank = rank_in_row(rows)
    by_rank = np.argsort(rank, kind="stable")
    bounds = np.searchsorted(rank[by_rank], np.arange(rank.max(initial=-1) + 2))
    query = np.cumsum(rank == 0) - 1
    codes = [_value_codes(query, column) for column in values.T]
    value_counts = [np.zeros(len(rows), dtype=np.int64) for _ in codes]
    list_sizes = np.zeros(len(rows), dtype=np.int64)
    mask = np.zeros(len(rows), dtype=bool)
    # Each step looks at the next candidate of every query at once.
    for start, end in itertools.pairwise(bounds.tolist()):
        positions = by_rank[start:end]
        positions = positions[list_sizes[query[positions]] < k]
        for cap, code, count in zip(caps, codes, value_counts, strict=True):
            value = code[positions]
            may_follow = (value < 0) | (count[value] < cap)
            positions = positions[may_follow if listed is None else may_follow | listed[positions]]
        for code, count in zip(codes, value_counts, strict=True):
            value = code[positions]
            count[value[value >= 0]] += 1
        list_sizes[query[positions]] += 1
        mask[positions] = True
    return mask


def rows_needed(caps: Sequence[int], k: int, depth: int) -> int:
    """How many selectable candidates of a part of the items decide a list of k.

    With one cap, k of them. Take a candidate that comes after k others of its part. Where others
    keep one of those k out of the list, the list has a better one of the same value in its place:
    so the list is full before it comes to the candidate. With several caps that does not hold.

    Args:
        caps: as for `top_k_mask`.
        k: how many candidates a list may hold in all.
        depth: how many are looked at if no number is known to suffice.
    """
    return k if len(caps) <= 1 else depth


def _value_codes(query: Int64, values: Int64) -> Int64:
    """A number for each pair of a query and a value, -1 for the value 0: int64[n]."""
    order = np.lexsort((values, query))
    is_new = np.ones(len(query), dtype=bool)
    is_new[1:] = (np.diff(query[order]) != 0) | (values[order][1:] != values[order][:-1])
    codes = np.empty(len(query), dtype=np.int64)
    codes[order] = np.cumsum(is_new) - 1
    return np.where(values == 0, -1, codes)


class CappedItems(NamedTuple):
    """What tells items apart under caps.

    Attributes:
        kinds: int64[n], equal for items whose values are all equal.
        limits: int64[n], how many items of this kind a list may hold.
    """

    kinds: Int64
    limits: Int64

    @classmethod
    def of(cls, values: Int64, caps: Sequence[int]) -> "CappedItems":
        """Those with some values; arguments as for `top_k_mask`."""
        order = np.lexsort(values.T)
        is_new = np.ones(len(values), dtype=bool)
        is_new[1:] = (values[order][1:] != values[order][:-1]).any(axis=1)
        kinds = np.empty(len(values), dtype=np.int64)
        kinds[order] = np.cumsum(is_new) - 1
        limits = np.where(values != 0, np.asarray(caps, dtype=np.int64), np.iinfo(np.int64).max)
        return cls(kinds, limits.min(axis=1))

    def selectable_mask(self, rows: Int64, items: Int64 | slice = slice(None)) -> Bools:
        """Which candidates could still be selected, whatever other candidates there are: bool[n].

        Of candidates whose values are all equal, no more than the least of their caps are ever
        selected, and those are the best ones. The others can be dropped before the lists of
        several groups are merged; which of the rest are selected is only known after the merge.

        Args:
            rows: as for `top_k_mask`.
            items: int64[n], positions of the candidates among these; by default all, in order.
        """
        kinds, rank = self.kinds[items], rank_in_row(rows)
        # Equal kinds of a row stand together, the best first.
        run = rows * (kinds.max(initial=0) + 1) + kinds
        order = np.argsort(run * (rank.max(initial=0) + 1) + rank)
        mask = np.empty(len(rows), dtype=bool)
        mask[order] = rank_in_row(run[order]) < self.limits[items][order]
        return mask
