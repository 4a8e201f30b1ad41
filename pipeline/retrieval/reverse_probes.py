"""Where a night's moves go: to every group with items whose lists they can be in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import with_traits
from pipeline.storage.clustered_tables import TRAITS

# An item that came into a list, and what rules read of a candidate; without a vector: that left it.
MOVES = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ("same", "kind", "eligible", "price", "variant")],
    ]
)
# Lists whose groups are found at a time.
_LISTS = 4096


@dataclass(frozen=True)
class ReverseProbes:
    """From which lists' items each list is probed.

    Attributes:
        starts: int64[nlist + 1], where in `homes` those of each list begin.
        homes: int32[pairs].
    """

    starts: Int64
    homes: "np.ndarray"

    @classmethod
    def of(cls, home: "np.ndarray", probed: "np.ndarray", nlist: int) -> "ReverseProbes":
        """From pairs of a list and one that its items probe; each list reaches itself."""
        own = np.arange(nlist)
        pairs = np.concatenate([probed.astype(np.int64) * nlist + home, own * nlist + own])
        probed, home = np.divmod(np.unique(pairs), nlist)
        return cls(np.searchsorted(probed, np.arange(nlist + 1)), home.astype(np.int32))

    @classmethod
    def everywhere(cls, nlist: int) -> "ReverseProbes":
        """Every list is probed from every list."""
        return cls(np.arange(nlist + 1) * nlist, np.tile(np.arange(nlist, dtype=np.int32), nlist))

    def groups(self, lists: Int64, plan: GroupPlan) -> tuple[Int64, Int64]:
        """The groups with an item that probes a list, for each list.

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        # Once for each list, few at a time: there are many more rows than lists.
        some, place = np.unique(lists, return_inverse=True)
        blocks = [self._groups(some[n : n + _LISTS], plan) for n in range(0, len(some), _LISTS)]
        none = np.empty(0, np.int64)
        counts = np.concatenate([none, *(counts for counts, _ in blocks)])
        found = np.concatenate([none, *(groups for _, groups in blocks)])
        starts = np.cumsum(counts) - counts
        rows = np.repeat(np.arange(len(lists)), counts[place])
        return rows, found[concat_ranges(starts[place], counts[place])]

    def _groups(self, lists: Int64, plan: GroupPlan) -> tuple[Int64, Int64]:
        """How many groups have an item that probes each list, and which, list by list."""
        sizes = np.diff(self.starts)[lists]
        homes = self.homes[concat_ranges(self.starts[lists], sizes)].astype(np.int64)
        owner = np.repeat(np.arange(len(lists)), sizes)
        source, group = plan.everywhere(homes)
        owner, groups = np.divmod(np.unique(owner[source] * plan.groups + group), plan.groups)
        return np.bincount(owner, minlength=len(lists)), groups


def send_moves(
    batches: Iterator[pa.RecordBatch], reach: ReverseProbes, plan: GroupPlan
) -> Iterator[pa.RecordBatch]:
    """Send rows of MOVES to every group with an item that they can matter to.

    Yields:
        batches of parcels of MOVES under the group.
    """
    for batch in packed_batches.coalesce(batches):
        rows = with_traits(batch).select(MOVES.names).cast(MOVES)
        sources, groups = reach.groups(rows["list"].to_numpy().astype(np.int64), plan)

        def some(taken: Int64, rows: pa.RecordBatch = rows, of: Int64 = sources) -> pa.RecordBatch:
            return rows.take(pa.array(of[taken]))

        yield from packed_batches.pack(some, groups, max(1, rows.nbytes // rows.num_rows))
