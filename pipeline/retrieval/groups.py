"""Units of work: long lists in parts, and groups of neighbouring lists that a task works on.

Lists that are near each other have near numbers (line.py), so that a group is a range of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64, concat_ranges

# A list of more than this many times the mean is split.
SPLIT_ABOVE = 4
# What a Python worker holds before its first row, and its blocks of queries and products.
_BASE_MB = 400
# A group that is being loaded: the rows as they came and in one piece, the vectors and their
# directions in float32, in bytes a dimension; and ids, positions and a dictionary, an item.
_BYTES_A_VALUE, _BYTES_AN_ITEM = 16, 400
_GROUPS_A_CORE = 6
_LEAST_ITEMS = 4_000


@dataclass(frozen=True)
class GroupPlan:
    """Which units (a list or a part of one) a list has, and which group a unit is in.

    Attributes:
        first: int64[nlist], the first unit of each list.
        parts: int64[nlist], how many it has.
        group: int64[units], by unit.
    """

    first: Int64
    parts: Int64
    group: Int64

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1

    def lists(self, group: int) -> tuple[int, int]:
        """The first list that a group has a unit of, and the one after the last."""
        units = np.flatnonzero(self.group == group)
        low, high = np.searchsorted(self.first, units[[0, -1]], side="right")
        return int(low) - 1, int(high)

    def units(self, lists: Int64, hashes: Int64) -> Int64:
        """The unit of each item: of a split list the part that its hash says.

        Args:
            lists: int64[n], the list of each item.
            hashes: int64[n].
        """
        return self.first[lists] + hashes % self.parts[lists]

    def everywhere(self, lists: Int64) -> tuple[Int64, Int64]:
        """Every group that has a unit of a list, for each list.

        Args:
            lists: int64[n].

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        sizes = self.parts[lists]
        units = concat_ranges(self.first[lists], sizes)
        pairs = np.repeat(np.arange(len(lists)), sizes) * self.groups + self.group[units]
        return np.divmod(np.unique(pairs), self.groups)


def max_items_per_group(worker_mb: int, dim: int) -> int:
    """How many items of this dimension a group may have, so that a worker keeps to its memory."""
    room = max(worker_mb - _BASE_MB, worker_mb // 4) * 1_000_000
    return max(1, room // (_BYTES_A_VALUE * dim + _BYTES_AN_ITEM))


def plan_by_work(sizes: Int64, cores: int, most: int) -> GroupPlan:
    """Groups of about equal work; that of the most work is 0.

    Work is the number of pairs of a query and an item; that a list is probed as often as it has
    items stands for the queries, whose number is not known yet. The plan decides where pairs are
    scored, never which: any plan gives the same table.

    Args:
        sizes: int64[nlist], items of each list.
        cores: on which the groups will be worked on.
        most: items that a group may have.
    """
    total = int(sizes.sum())
    longest = max(1, min(SPLIT_ABOVE * -(-total // len(sizes)), most))
    wanted = max(-(-total // most), min(_GROUPS_A_CORE * cores, -(-total // _LEAST_ITEMS)), 1)
    first, parts, of_list = _units(sizes, longest)
    items = -(-sizes[of_list] // parts[of_list])
    work = items * sizes[of_list]
    group = _grouped(items, work, wanted, most)
    heaviest_first = np.argsort(-np.bincount(group, work), kind="stable")
    return GroupPlan(first, parts, np.argsort(heaviest_first)[group])


def plan_by_rows(sizes: Int64, wanted: int) -> GroupPlan:
    """Groups of about equally many rows, in the order of the lists.

    Args:
        sizes: int64[nlist], rows of each list.
        wanted: how many groups there should be, about.
    """
    longest = max(1, -(-int(sizes.sum()) // wanted))
    first, parts, of_list = _units(sizes, longest)
    rows = -(-sizes[of_list] // parts[of_list])
    return GroupPlan(first, parts, _grouped(rows, rows, wanted, 2 * longest))


def _units(sizes: Int64, longest: int) -> tuple[Int64, Int64, Int64]:
    parts = np.maximum(1, -(-sizes // longest))
    return np.cumsum(parts) - parts, parts, np.repeat(np.arange(len(sizes)), parts)


def _grouped(items: Int64, work: Int64, wanted: int, most: int) -> npt.NDArray[np.int64]:
    """Cut the units in two, each part in two, ..., until none is too large."""
    share = 1.5 * float(work.sum()) / wanted
    group = np.empty(len(items), dtype=np.int64)
    waiting, groups = [(0, len(items))], 0
    while waiting:
        start, end = waiting.pop()
        mine = work[start:end]
        if end - start == 1 or (mine.sum() <= share and items[start:end].sum() <= most):
            group[start:end] = groups
            groups += 1
            continue
        half = int(np.searchsorted(np.cumsum(mine), mine.sum() / 2)) + 1
        cut = start + min(half, end - start - 1)
        waiting += [(cut, end), (start, cut)]
    return group
