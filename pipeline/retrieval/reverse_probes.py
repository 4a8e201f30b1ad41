"""Reverse probes: from which groups a list is probed; a change to the list concerns those.

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
from pipeline.storage.list_schemas import ITEM_TRAITS, TRAITS

# An item that has arrived in a list, with what rules read of a candidate; or, without a vector, one
# that has departed from it.
MOVES = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ("eligible", *ITEM_TRAITS)],
    ]
)
# A list, and a group with an item that probes it.
PROBING_GROUPS = pa.schema([("probed", pa.int32()), ("group", pa.int32())])


@dataclass(frozen=True)
class ReverseProbes:
    """For each list, the groups with items that probe it, as a compressed sparse matrix.

    Every task gets all of it. Near lists are in one group, so that there are several times fewer
    groups than lists to tell of.

    Attributes:
        starts: int64[nlist + 1], where the entries of each list begin in `groups`.
        groups: int32[pairs].
    """

    starts: Int64
    groups: npt.NDArray[np.int32]

    @classmethod
    def from_pairs(
        cls, probed: npt.NDArray[np.integer], group: npt.NDArray[np.integer], plan: GroupPlan
    ) -> "ReverseProbes":
        """From pairs of a list and a group that probes it; items of a list also probe that list."""
        nlist, count = len(plan.first_unit), plan.group_count
        own, own_group = plan.groups_of(np.arange(nlist))
        pairs = np.concatenate([probed.astype(np.int64) * count + group, own * count + own_group])
        probed, group = np.divmod(np.unique(pairs), count)
        return cls(np.searchsorted(probed, np.arange(nlist + 1)), group.astype(np.int32))

    @classmethod
    def all_groups(cls, plan: GroupPlan) -> "ReverseProbes":
        """Every list is probed from every group."""
        nlist, count = len(plan.first_unit), plan.group_count
        groups = np.arange(count, dtype=np.int32)
        return cls(np.arange(nlist + 1) * count, np.tile(groups, nlist))

    def groups_of(self, lists: Int64) -> tuple[Int64, Int64]:
        """The groups with an item that probes a list, for each list.

        Args:
            lists: int64[n].

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        counts = np.diff(self.starts)[lists]
        rows = np.repeat(np.arange(len(lists)), counts)
        return rows, self.groups[concat_ranges(self.starts[lists], counts)].astype(np.int64)


def probing_groups(batches: Iterator[pa.RecordBatch], plan: GroupPlan) -> Iterator[pa.RecordBatch]:
    """The groups that the lists of `reach` are in.

    Args:
        batches: rows of the table `reach`.
        plan: the groups.

    Yields:
        batches of PROBING_GROUPS; a pair may occur in several batches.
    """
    for batch in packed_batches.coalesce(batches):
        sources, groups = plan.groups_of(batch["home"].to_numpy().astype(np.int64))
        probed = batch["probed"].to_numpy().astype(np.int64)[sources]
        pairs = np.unique(probed * plan.group_count + groups)
        columns = [pa.array(c.astype(np.int32)) for c in np.divmod(pairs, plan.group_count)]
        yield pa.RecordBatch.from_arrays(columns, schema=PROBING_GROUPS)


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
        sources, groups = reverse_probes.groups_of(lists)
        row_bytes = max(1, rows.nbytes // rows.num_rows)
        yield from packed_batches.pack(packed_batches.take_from(rows, sources), groups, row_bytes)
