"""Caps: how many candidates of one kind a list may hold.

A list is made by walking down the candidates, the best first: one is taken unless the list already
holds as many of one of its values as are allowed.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64, rank_in_row

Bools = npt.NDArray[np.bool_]


def top_k_mask(rows: Int64, values: Int64, caps: Sequence[int], most: int) -> Bools:
    """Which candidates are taken.

    Args:
        rows: int64[n], whose list each is a candidate of; runs of equal rows, best first.
        values: int64[n, caps], 0 for a value that is not counted.
        caps: how many of one value a list may hold.
        most: how many a list may hold in all.

    Returns:
        bool[n].
    """
    place = rank_in_row(rows)
    steps = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[steps], np.arange(place.max(initial=-1) + 2))
    run = np.cumsum(place == 0) - 1
    keys = [_codes(run, column) for column in values.T]
    held = [np.zeros(len(rows), dtype=np.int64) for _ in keys]
    taken = np.zeros(len(rows), dtype=np.int64)
    out = np.zeros(len(rows), dtype=bool)
    # A step takes the next candidate of every list at once.
    for start, end in itertools.pairwise(bounds.tolist()):
        some = steps[start:end]
        some = some[taken[run[some]] < most]
        for cap, key, count in zip(caps, keys, held, strict=True):
            mine = key[some]
            some = some[(mine < 0) | (count[mine] < cap)]
        for key, count in zip(keys, held, strict=True):
            mine = key[some]
            count[mine[mine >= 0]] += 1
        taken[run[some]] += 1
        out[some] = True
    return out


def _codes(run: Int64, values: Int64) -> Int64:
    """A number for each pair of a list and a value, -1 for the value 0: int64[n]."""
    order = np.lexsort((values, run))
    new = np.ones(len(run), dtype=bool)
    new[1:] = (np.diff(run[order]) != 0) | (values[order][1:] != values[order][:-1])
    codes = np.empty(len(run), dtype=np.int64)
    codes[order] = np.cumsum(new) - 1
    return np.where(values == 0, -1, codes)


def selectable_mask(rows: Int64, values: Int64, caps: Sequence[int]) -> Bools:
    """Candidates without those that can't be taken, whatever others there are: bool[n].

    Of candidates with all the same values no more are taken than the least cap of these allows,
    and those are the best. Which others are taken only the whole list tells.

    Args:
        rows: as for `chosen`.
        values: as for `chosen`.
        caps: as for `chosen`.
    """
    limits = np.where(values != 0, np.asarray(caps, dtype=np.int64), np.iinfo(np.int64).max)
    order = np.lexsort((*values.T, rows))
    some, mine = values[order], rows[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (np.diff(mine) != 0) | (some[1:] != some[:-1]).any(axis=1)
    out = np.empty(len(rows), dtype=bool)
    out[order] = rank_in_row(np.cumsum(new)) < limits.min(axis=1)[order]
    return out
