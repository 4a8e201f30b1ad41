"""Units of work: long lists in parts, and groups of near lists that one task holds at a time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, unit

# A list of more than this many times the mean is split.
SPLIT_ABOVE = 4
# What a Python worker holds before its first row, and its blocks of queries and products.
_BASE_MB = 400
# A group that is being loaded: the rows as they came and in one piece, the vectors and their
# directions in float32, in bytes a dimension; and ids, positions and a dictionary, an item.
_BYTES_A_VALUE, _BYTES_AN_ITEM = 16, 400
_GROUPS_A_CORE = 8
_LEAST_ITEMS = 4_000


@dataclass(frozen=True)
class Plan:
    """Which unit (a list or a part of one) an item is in, and which group a unit is in.

    Attributes:
        first: int64[nlist], the first unit of each list.
        parts: int64[nlist], how many it has.
        group: int64[units], by unit; the group of the most work is 0.
    """

    first: Int64
    parts: Int64
    group: Int64

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1


def most_items(worker_mb: int, dim: int) -> int:
    """How many items of this dimension a group may have, so that a worker keeps to its memory."""
    room = max(worker_mb - _BASE_MB, worker_mb // 4) * 1_000_000
    return max(1, room // (_BYTES_A_VALUE * dim + _BYTES_AN_ITEM))


def plan(sizes: Int64, centroids: Float32 | None, cores: int, most: int) -> Plan:
    """Split long lists, and group units that are near each other into groups of about equal work.

    Work is the number of pairs of a query and an item; that a list is probed as often as it has
    items stands for the queries, whose number is not known yet. The plan decides where pairs are
    scored, never which: any plan gives the same table.

    Args:
        sizes: int64[nlist], items of each list.
        centroids: float32[nlist, dim]; None where every list is probed anyway.
        cores: on which the groups will be worked on.
        most: items that a group may have.
    """
    total = int(sizes.sum())
    longest = max(1, min(SPLIT_ABOVE * -(-total // len(sizes)), most))
    parts = np.maximum(1, -(-sizes // longest))
    first = np.cumsum(parts) - parts
    list_of = np.repeat(np.arange(len(sizes)), parts)
    items = -(-sizes[list_of] // parts[list_of])
    wanted = max(-(-total // most), min(_GROUPS_A_CORE * cores, -(-total // _LEAST_ITEMS)), 1)
    points = None if centroids is None else centroids[list_of]
    return Plan(first, parts, _grouped(points, items, items * sizes[list_of], wanted, most))


def _grouped(
    points: Float32 | None, items: Int64, work: Int64, wanted: int, most: int
) -> npt.NDArray[np.int64]:
    """Cut the units in two, each part in two, ..., until none is too large."""
    share = 1.5 * float(work.sum()) / wanted
    waiting, done = [np.arange(len(items))], []
    while waiting:
        units = waiting.pop()
        if len(units) == 1 or (work[units].sum() <= share and items[units].sum() <= most):
            done.append(units)
            continue
        along = np.zeros(len(units)) if points is None else _axis(points[units])
        units = units[np.argsort(along, kind="stable")]
        half = np.searchsorted(np.cumsum(work[units]), work[units].sum() / 2) + 1
        cut = min(max(int(half), 1), len(units) - 1)
        waiting += [units[:cut], units[cut:]]
    done.sort(key=lambda units: (-int(work[units].sum()), int(units[0])))
    group = np.empty(len(items), dtype=np.int64)
    for number, units in enumerate(done):
        group[units] = number
    return group


def _axis(points: Float32) -> npt.NDArray[np.float64]:
    """The points' places on the line through the centres of the two halves that 2-means finds."""
    one = points[np.argmin(points @ points.mean(axis=0))]
    other = points[np.argmin(points @ one)]
    for _ in range(5):
        to_one = points @ (one - other) >= 0
        if to_one.all() or not to_one.any():
            break
        one, other = unit(np.stack([points[to_one].mean(axis=0), points[~to_one].mean(axis=0)]))
    along: npt.NDArray[np.float64] = (points @ (one - other)).astype(np.float64)
    return along
