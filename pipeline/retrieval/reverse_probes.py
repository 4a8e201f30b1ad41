"""Reverse probes: from which lists a list is probed, and so which groups a change to it concerns.

The table `reach` holds these pairs: items of the list `home` probe the list `probed`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import with_traits
from pipeline.storage.list_schemas import TRAITS

# An item that has arrived in a list, with what rules read of a candidate; or, without a vector, one
# that has departed from it.
MOVES = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ("same", "kind", "eligible", "price", "variant")],
    ]
)
# Lists whose groups are computed at a time.
_LISTS = 4096


@dataclass(frozen=True)
class ReverseProbes:
    """For each list, the lists whose items probe it, as a compressed sparse matrix.

    Attributes:
        starts: int64[nlist + 1], where the entries of each list begin in `homes`.
        homes: int32[pairs].
    """

    starts: Int64
    homes: npt.NDArray[np.int32]

    @classmethod
    def from_pairs(
        cls, home: npt.NDArray[np.integer], probed: npt.NDArray[np.integer], nlist: int
    ) -> "ReverseProbes":
        """From pairs of a list and a list that its items probe; each list also probes itself."""
        own = np.arange(nlist)
        pairs = np.concatenate([probed.astype(np.int64) * nlist + home, own * nlist + own])
        probed, home = np.divmod(np.unique(pairs), nlist)
        return cls(np.searchsorted(probed, np.arange(nlist + 1)), home.astype(np.int32))

    @classmethod
    def all_pairs(cls, nlist: int) -> "ReverseProbes":
        """Every list is probed from every list."""
        return cls(np.arange(nlist + 1) * nlist, np.tile(np.arange(nlist, dtype=np.int32), nlist))

    def groups_of(self, lists: Int64, plan: GroupPlan) -> tuple[Int64, Int64]:
        """The groups with an item that probes a list, for each list.

        Args:
            lists: int64[n].
            plan: the groups.

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        # Computed once a list, some lists at a time: there are many more rows than lists.
        distinct, row_of = np.unique(lists, return_inverse=True)
        blocks = [
            self._groups_of_distinct(distinct[n : n + _LISTS], plan)
            for n in range(0, len(distinct), _LISTS)
        ]
        empty = np.empty(0, np.int64)
        counts = np.concatenate([empty, *(counts for counts, _ in blocks)])
        groups = np.concatenate([empty, *(groups for _, groups in blocks)])
        starts = np.cumsum(counts) - counts
        rows = np.repeat(np.arange(len(lists)), counts[row_of])
        return rows, groups[concat_ranges(starts[row_of], counts[row_of])]

    def _groups_of_distinct(self, lists: Int64, plan: GroupPlan) -> tuple[Int64, Int64]:
        """How many groups have an item that probes each list, and which, list by list."""
        sizes = np.diff(self.starts)[lists]
        homes = self.homes[concat_ranges(self.starts[lists], sizes)].astype(np.int64)
        rows = np.repeat(np.arange(len(lists)), sizes)
        sources, groups = plan.groups_of(homes)
        pairs = np.unique(rows[sources] * plan.group_count + groups)
        rows, groups = np.divmod(pairs, plan.group_count)
        return np.bincount(rows, minlength=len(lists)), groups


def send_moves(
    batches: Iterator[pa.RecordBatch], reverse_probes: ReverseProbes, plan: GroupPlan
) -> Iterator[pa.RecordBatch]:
    """Send rows of MOVES to every group with an item that they may concern.

    Yields:
        packed batches of MOVES, by group.
    """
    for batch in packed_batches.coalesce(batches):
        rows = with_traits(batch).select(MOVES.names).cast(MOVES)
        lists = rows["list"].to_numpy().astype(np.int64)
        sources, groups = reverse_probes.groups_of(lists, plan)
        row_bytes = max(1, rows.nbytes // rows.num_rows)
        yield from packed_batches.pack(packed_batches.take_from(rows, sources), groups, row_bytes)
