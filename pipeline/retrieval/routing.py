"""Routing: which groups each query travels to. Rows of the lists table become the join's input."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import groups_by_id, rows_in_group, units_of_rows
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import query_rows, with_traits
from pipeline.retrieval.vectors import hash_vectors
from pipeline.storage.list_schemas import QUERY_TRAITS, TRAITS

# Units probed by the queries that are routed at a time.
_MAX_UNITS = 1 << 21

# A query, as it is sent to a group: `units` are those of the group that it probes, nearest list
# first; `list` is its own; `part` says which task of the merge its candidates come together in.
# Traits are null if no rule reads them.
QUERIES = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in QUERY_TRAITS],
        ("units", pa.list_(pa.int32())),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# From rows of the lists table to int[n, nprobe]: the lists that each probes, nearest first.
ProbeLists = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]
# Called with numbers to add up: queries, copies of queries in groups, and bytes sent.
CountRouted = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Router:
    """Sends queries to groups.

    Attributes:
        plan: the groups.
        probe: gives the lists that a query probes.
        nprobe: how many lists that is.
        parts: the parts of the merge, as groups of lists: a query's own list decides.
        keep_local: whether a query need not be sent to the group that it is an item of, because
            the group reads its own items as queries (`local_queries`).
    """

    plan: GroupPlan
    probe: ProbeLists
    nprobe: int
    parts: GroupPlan
    keep_local: bool

    def send(
        self, batches: Iterator[pa.RecordBatch], count: CountRouted
    ) -> Iterator[pa.RecordBatch]:
        """Send each query once to every group with a list that it probes.

        Args:
            batches: columns item_id string, list int, vector binary (float16), the columns of
                TRAITS that are read, and what `probe` reads. With `keep_local` they are in the
                order of the lists.
            count: called for each slice of queries and each packed batch.

        Yields:
            packed batches of QUERIES, by group.
        """
        for batch in packed_batches.coalesce(batches):
            row_bytes = batch.nbytes // batch.num_rows
            asking = query_rows(batch)
            if not self.keep_local:
                # Equal vectors stand together, as in a list, so that they are searched for as one.
                order = np.argsort(hash_vectors(asking["vector"]), kind="stable")
                asking = asking.take(pa.array(order))
            queries = with_merge_part(with_traits(asking), self.parts)
            for rows, probes in self._probed_slices(queries):
                home = units_of_rows(rows, self.plan) if self.keep_local else None
                take, groups = self._copies(rows, probes, home)
                count(rows.num_rows, len(groups), 0)
                for packed in packed_batches.pack(take, groups, row_bytes):
                    count(0, 0, packed.nbytes)
                    yield packed

    def local_queries(
        self, batches: Iterator[pa.RecordBatch], group: int, count: CountRouted
    ) -> Iterator[pa.RecordBatch]:
        """The items of a group as queries for the lists of that group.

        Args:
            batches: rows of the group's lists, for the most part equal vectors together; columns
                as for `send`.
            group: which group.
            count: called with how many queries need not be sent.

        Yields:
            batches of QUERIES.
        """
        for batch in batches:
            rows = query_rows(with_traits(rows_in_group(batch, self.plan, group)))
            for queries, probes in self._probed_slices(with_merge_part(rows, self.parts)):
                take, groups = self._copies(queries, probes, None)
                local = np.flatnonzero(groups == group)
                count(0, len(local), 0)
                yield take(local)

    def _probed_slices(self, queries: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, Int64]]:
        """Slices of the queries and the lists they probe, each slice with a bounded unit count."""
        step = max(1, _MAX_UNITS // self.nprobe)
        for start in range(0, queries.num_rows, step):
            rows = queries.slice(start, step)
            probes = self.probe(rows).astype(np.int64)
            # A split list counts as many units.
            slice_number = np.cumsum(self.plan.unit_count[probes].sum(axis=1)) // _MAX_UNITS
            cuts = [0, *(np.flatnonzero(np.diff(slice_number)) + 1).tolist(), len(slice_number)]
            for first, last in itertools.pairwise(cuts):
                yield rows.slice(first, last - first), probes[first:last]

    def _copies(
        self, queries: pa.RecordBatch, probes: Int64, home: Int64 | None
    ) -> tuple[Callable[[Int64], pa.RecordBatch], Int64]:
        """The copies of each query: one for every group that it probes a list of.

        Args:
            queries: the queries, with their parts.
            probes: int64[n, nprobe], the lists they probe.
            home: int64[n], the unit of each query, whose group gets no copy; None: all groups do.

        Returns:
            a function that gives the copies at some positions as QUERIES; and the group of each
            copy, int64[copies].
        """
        plan, lists = self.plan, probes.ravel()
        unit_count = plan.unit_count[lists]
        units = concat_ranges(plan.first_unit[lists], unit_count)
        rows = np.repeat(np.repeat(np.arange(len(probes)), probes.shape[1]), unit_count)
        if home is not None:
            is_away = plan.group_of_unit[units] != plan.group_of_unit[home][rows]
            rows, units = rows[is_away], units[is_away]
        # By query and group; the nearest list stays first.
        order = np.argsort(rows * plan.group_count + plan.group_of_unit[units], kind="stable")
        rows, units = rows[order], units[order]
        group = plan.group_of_unit[units]
        is_new = np.ones(len(rows), dtype=bool)
        is_new[1:] = (np.diff(rows) != 0) | (np.diff(group) != 0)
        starts = np.flatnonzero(is_new)
        offsets = pa.array(np.append(starts, len(rows)).astype(np.int32))
        units_of_copy = pa.ListArray.from_arrays(offsets, pa.array(units.astype(np.int32)))
        sources = rows[starts]

        def take(positions: Int64) -> pa.RecordBatch:
            source = pa.array(sources[positions])
            columns = {n: queries[n].take(source) for n in QUERIES.names if n != "units"}
            columns["units"] = units_of_copy.take(pa.array(positions))
            return pa.RecordBatch.from_arrays([columns[n] for n in QUERIES.names], schema=QUERIES)

        return take, group[starts]


def with_merge_part(rows: pa.RecordBatch, parts: GroupPlan) -> pa.RecordBatch:
    """Add the column `part`: the part of the merge that a query's candidates come together in."""
    return rows.append_column("part", pa.array(groups_by_id(rows, parts).astype(np.int32)))
