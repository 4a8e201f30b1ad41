"""Groups: which lists a task works on together, and how long lists are split over several tasks.

A unit is a list, or one part of a list that is too long. A group is a run of units. Lists that are
near each other have near numbers (centroid_order.py), so that a group is a range of near lists and
a query has to travel to few groups.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.retrieval.ranking import Int64, concat_ranges

# A list with more than this many times the mean number of items is split.
SPLIT_ABOVE = 4
# Memory of a Python worker before its first row, and of its blocks of queries and products, in MB.
_BASE_MB = 400
# Memory of a group while it is loaded. Bytes per value of a vector: the rows as they arrive and
# concatenated, vectors and unit vectors in float32. Bytes per item: ids, positions, a dictionary.
_BYTES_PER_VALUE, _BYTES_PER_ITEM = 16, 400
_MAX_COLUMN_BYTES = 2**31 - 1
_GROUPS_PER_CORE = 6
_MIN_ITEMS = 4_000


@dataclass(frozen=True)
class GroupPlan:
    """Which units each list has, and which group each unit is in.

    Attributes:
        first_unit: int64[nlist], the first unit of each list.
        unit_count: int64[nlist], how many units the list has.
        group_of_unit: int64[units].
    """

    first_unit: Int64
    unit_count: Int64
    group_of_unit: Int64

    @property
    def group_count(self) -> int:
        """How many groups there are."""
        return int(self.group_of_unit.max()) + 1

    def list_range(self, group: int) -> tuple[int, int]:
        """The first list that has a unit in a group, and the end: one after the last."""
        units = np.flatnonzero(self.group_of_unit == group)
        low, high = np.searchsorted(self.first_unit, units[[0, -1]], side="right")
        return int(low) - 1, int(high)

    def unit_of(self, lists: Int64, hashes: Int64) -> Int64:
        """The unit of each item: int64[n]. Its hash decides which part of a split list it is in.

        Args:
            lists: int64[n], the list of each item.
            hashes: int64[n], not negative.
        """
        return self.first_unit[lists] + hashes % self.unit_count[lists]

    def groups_of(self, lists: Int64) -> tuple[Int64, Int64]:
        """All groups that have a unit of each list.

        Args:
            lists: int64[n].

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        sizes = self.unit_count[lists]
        units = concat_ranges(self.first_unit[lists], sizes)
        positions = np.repeat(np.arange(len(lists)), sizes)
        pairs = positions * self.group_count + self.group_of_unit[units]
        return np.divmod(np.unique(pairs), self.group_count)


def max_items_per_group(worker_mb: int, dim: int) -> int:
    """How many items a group may have so that a worker keeps within its memory.

    The vectors of a group are also one Arrow column, which ends at 2 GiB.

    Args:
        worker_mb: memory of a Python worker, in MB.
        dim: dimensions of the vectors.
    """
    free_bytes = max(worker_mb - _BASE_MB, worker_mb // 4) * 1_000_000
    in_memory = free_bytes // (_BYTES_PER_VALUE * dim + _BYTES_PER_ITEM)
    return max(1, min(in_memory, _MAX_COLUMN_BYTES // (2 * dim)))


def plan_by_work(sizes: Int64, cores: int, max_items: int) -> GroupPlan:
    """Plan groups of about equal work; group 0 has the most, so that it starts first.

    Work is the number of pairs of a query and an item. How many queries probe a list is not known
    yet; the number of its items stands for it. The plan decides where pairs are scored, never
    which ones: every plan gives the same table.

    Args:
        sizes: int64[nlist], items of each list.
        cores: how many cores work on the groups.
        max_items: how many items a group may have.
    """
    total = int(sizes.sum())
    max_unit = max(1, min(SPLIT_ABOVE * -(-total // len(sizes)), max_items))
    group_count = max(
        -(-total // max_items), min(_GROUPS_PER_CORE * cores, -(-total // _MIN_ITEMS)), 1
    )
    first_unit, unit_count, list_of_unit = _split_lists(sizes, max_unit)
    items = -(-sizes[list_of_unit] // unit_count[list_of_unit])
    work = items * sizes[list_of_unit]
    group = _cut_into_groups(items, work, group_count, max_items)
    heaviest_first = np.argsort(-np.bincount(group, work), kind="stable")
    return GroupPlan(first_unit, unit_count, np.argsort(heaviest_first)[group])


def plan_by_rows(sizes: Int64, group_count: int) -> GroupPlan:
    """Plan groups of about equally many rows, in the order of the lists.

    Args:
        sizes: int64[nlist], rows of each list.
        group_count: how many groups there should be, about.
    """
    max_unit = max(1, -(-int(sizes.sum()) // group_count))
    first_unit, unit_count, list_of_unit = _split_lists(sizes, max_unit)
    rows = -(-sizes[list_of_unit] // unit_count[list_of_unit])
    group = _cut_into_groups(rows, rows, group_count, 2 * max_unit)
    return GroupPlan(first_unit, unit_count, group)


def _split_lists(sizes: Int64, max_unit: int) -> tuple[Int64, Int64, Int64]:
    """Split lists longer than `max_unit`: first unit and unit count by list, list by unit."""
    unit_count = np.maximum(1, -(-sizes // max_unit))
    first_unit = np.cumsum(unit_count) - unit_count
    return first_unit, unit_count, np.repeat(np.arange(len(sizes)), unit_count)


def _cut_into_groups(items: Int64, work: Int64, group_count: int, max_items: int) -> Int64:
    """Halve the run of units by work, and each half, until no group is too large: int64[units]."""
    max_work = 1.5 * float(work.sum()) / group_count
    group = np.empty(len(items), dtype=np.int64)
    stack, groups = [(0, len(items))], 0
    while stack:
        start, end = stack.pop()
        unit_work = work[start:end]
        fits = unit_work.sum() <= max_work and items[start:end].sum() <= max_items
        if end - start == 1 or fits:
            group[start:end] = groups
            groups += 1
            continue
        half = int(np.searchsorted(np.cumsum(unit_work), unit_work.sum() / 2)) + 1
        cut = start + min(half, end - start - 1)
        stack += [(cut, end), (start, cut)]
    return group
