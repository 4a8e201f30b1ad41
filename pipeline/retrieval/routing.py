"""Which groups a query travels to: rows of the lists table become the join's parcels."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import units_of_rows
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import query_rows, with_traits
from pipeline.storage.clustered_tables import TRAITS

# Units of queries that are worked on at a time.
_MOST_UNITS = 1 << 21

# A query probes several units (a list, or a part of one). What rules read of it is null where there
# is no such rule; `list` is the query's own; `part` is the task of the merge that its candidates
# come together in.
QUERIES = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ("same", "price", "variant", "denied")],
        ("units", pa.list_(pa.int32())),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# From rows of the lists table to int[n, nprobe], the lists that each probes, nearest first.
ProbeLists = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]


# Called with how many queries there are, how often they travel, and the bytes sent.
CountRouted = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Router:
    """Where queries go.

    Attributes:
        plan: the groups.
        probe: gives the lists that a query probes.
        width: how many those are.
        parts: in whose groups, by a query's own list, candidates are merged.
        at_home: whether a group finds the queries that are items of its own by itself.
    """

    plan: GroupPlan
    probe: ProbeLists
    width: int
    parts: GroupPlan
    at_home: bool

    def send(
        self, batches: Iterator[pa.RecordBatch], count: CountRouted
    ) -> Iterator[pa.RecordBatch]:
        """Send each query once to every group that holds a list it probes.

        Args:
            batches: columns item_id string, list int, vector binary (float16), hash bigint (of the
                vector), those of TRAITS that there are, and what `probe` reads.
            count: is told of each slice of queries and each parcel.

        Yields:
            batches of parcels of QUERIES under the group.
        """
        for chunk in packed_batches.coalesce(batches):
            size = chunk.nbytes // chunk.num_rows
            # Equal vectors lie together: they are searched for as one.
            order = np.argsort(chunk["hash"].to_numpy(), kind="stable")
            queries = with_merge_part(with_traits(chunk.take(pa.array(order))), self.parts)
            for some, probes in self._probing(queries):
                home = units_of_rows(some, self.plan) if self.at_home else None
                rows, groups = self._queries(some, probes, home)
                count(some.num_rows, len(groups), 0)
                for sent in packed_batches.pack(rows, groups, size):
                    count(0, 0, sent.nbytes)
                    yield sent

    def of_group(
        self, batches: Iterator[pa.RecordBatch], group: int, count: CountRouted
    ) -> Iterator[pa.RecordBatch]:
        """The queries that are items of a group, as far as they stay in it.

        Args:
            batches: rows of the group's lists, equal vectors together: as for `send`, no hash.
            group: which one.
            count: is told how often they need not travel.

        Yields:
            batches of QUERIES.
        """
        for batch in batches:
            mine = pa.array(self.plan.group[units_of_rows(batch, self.plan)] == group)
            queries = with_merge_part(query_rows(with_traits(batch.filter(mine))), self.parts)
            for some, probes in self._probing(queries):
                rows, groups = self._queries(some, probes, None)
                staying = np.flatnonzero(groups == group)
                count(0, len(staying), 0)
                yield rows(staying)

    def _probing(self, queries: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, Int64]]:
        """Those that ask and the lists that they probe, in slices of not too many units."""
        step = max(1, _MOST_UNITS // self.width)
        for start in range(0, queries.num_rows, step):
            some = queries.slice(start, step)
            probes = self.probe(some).astype(np.int64)
            # A list in many parts is as many units.
            units = np.cumsum(self.plan.parts[probes].sum(axis=1)) // _MOST_UNITS
            cuts = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
            for first, last in itertools.pairwise(cuts):
                yield some.slice(first, last - first), probes[first:last]

    def _queries(
        self, chunk: pa.RecordBatch, probes: Int64, home: Int64 | None
    ) -> tuple[Callable[[Int64], pa.RecordBatch], Int64]:
        """Those that ask as QUERIES, one for each group that they probe a list of, and the groups.

        Args:
            chunk: those that ask, with their parts.
            probes: int64[n, width], the lists.
            home: int64[n], units whose groups they need not go to.
        """
        plan, lists = self.plan, probes.ravel()
        parts = plan.parts[lists]
        units = concat_ranges(plan.first[lists], parts)
        asked = np.repeat(np.repeat(np.arange(len(probes)), probes.shape[1]), parts)
        if home is not None:
            away = plan.group[units] != plan.group[home][asked]
            asked, units = asked[away], units[away]
        # By query and group; the nearest list stays first.
        order = np.argsort(asked * plan.groups + plan.group[units], kind="stable")
        asked, units = asked[order], units[order]
        group = plan.group[units]
        new = np.ones(len(asked), dtype=bool)
        new[1:] = (np.diff(asked) != 0) | (np.diff(group) != 0)
        starts = np.flatnonzero(new)
        offsets = pa.array(np.append(starts, len(asked)).astype(np.int32))
        probed = pa.ListArray.from_arrays(offsets, pa.array(units.astype(np.int32)))
        sources = asked[starts]

        def rows(some: Int64) -> pa.RecordBatch:
            taken = pa.array(sources[some])
            columns = {name: chunk[name].take(taken) for name in QUERIES.names if name != "units"}
            columns["units"] = probed.take(pa.array(some))
            return pa.RecordBatch.from_arrays([columns[n] for n in QUERIES.names], schema=QUERIES)

        return rows, group[starts]


def with_merge_part(rows: pa.RecordBatch, parts: GroupPlan) -> pa.RecordBatch:
    """The rows with the part that the candidates of each are merged in; see `Routes`."""
    lists = rows["list"].to_numpy().astype(np.int64)
    units = parts.first[lists]
    split = np.flatnonzero(parts.parts[lists] > 1)
    if len(split):
        import pandas as pd  # half a second, and seldom needed

        ids = rows["item_id"].take(pa.array(split)).to_numpy(zero_copy_only=False)
        hashes = pd.util.hash_array(ids, categorize=False) >> np.uint64(1)
        units[split] = parts.units(lists[split], hashes.astype(np.int64))
    return rows.append_column("part", pa.array(parts.group[units].astype(np.int32)))
