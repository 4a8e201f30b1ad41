"""Which groups a query travels to: rows of the lists table become the join's parcels."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval import parcels
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.ranking import Int64, ranges

# Units of queries that are worked on at a time.
_MOST_UNITS = 1 << 21

# A query probes several units (a list, or a part of one). `same` is null where no rule asks for it;
# `list` is the query's own; `part` is the task of the merge that its candidates come together in.
QUERIES = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        ("same", pa.string()),
        ("units", pa.list_(pa.int32())),
        ("list", pa.int32()),
        ("part", pa.int32()),
    ]
)

# From rows of the lists table to int[n, nprobe], the lists that each probes, nearest first.
Probe = Callable[[pa.RecordBatch], npt.NDArray[np.int32]]


def route(
    batches: Iterator[pa.RecordBatch],
    plan: Plan,
    probe: Probe,
    width: int,
    parts: Plan,
    count: Callable[[int, int, int], None],
) -> Iterator[pa.RecordBatch]:
    """Send each query once to every group that holds a list it probes.

    Args:
        batches: columns item_id string, list int, vector binary (float16), hash bigint (of the
            vector), id_hash bigint, same string, and what `probe` reads.
        plan: the groups.
        probe: gives the lists that a query probes.
        width: how many those are.
        parts: in whose groups, by a query's own list, candidates are merged.
        count: is told the queries of each chunk, how often they travel, and the bytes sent.

    Yields:
        batches of parcels of QUERIES under the group.
    """
    for chunk in parcels.gathered(batches):
        size = chunk.nbytes // chunk.num_rows
        # Equal vectors lie together: they are searched for as one.
        order = np.argsort(chunk["hash"].to_numpy(), kind="stable")
        asking = with_part(chunk.take(pa.array(order)), parts)
        for some, probes in _probing(asking, plan, probe, width):
            rows, groups = _queries(some, plan, probes)
            count(some.num_rows, len(groups), 0)
            for sent in parcels.pack(rows, groups, size):
                count(0, 0, sent.nbytes)
                yield sent


def with_part(rows: pa.RecordBatch, parts: Plan) -> pa.RecordBatch:
    """The rows with the part that the candidates of each are merged in; see `route`."""
    lists = rows["list"].to_numpy().astype(np.int64)
    part = parts.group[parts.units(lists, rows["id_hash"].to_numpy())]
    return rows.append_column("part", pa.array(part.astype(np.int32)))


def _probing(
    asking: pa.RecordBatch, plan: Plan, probe: Probe, width: int
) -> Iterator[tuple[pa.RecordBatch, Int64]]:
    """Those that ask and the lists that they probe, in slices of not too many units."""
    step = max(1, _MOST_UNITS // width)
    for start in range(0, asking.num_rows, step):
        some = asking.slice(start, step)
        probes = probe(some).astype(np.int64)
        # A list in many parts is as many units.
        units = np.cumsum(plan.parts[probes].sum(axis=1)) // _MOST_UNITS
        cuts = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
        for first, last in itertools.pairwise(cuts):
            yield some.slice(first, last - first), probes[first:last]


def _queries(
    chunk: pa.RecordBatch, plan: Plan, probes: Int64
) -> tuple[Callable[[Int64], pa.RecordBatch], Int64]:
    """Those that ask as QUERIES, one for each group that they probe a list of, and the groups."""
    lists = probes.ravel()
    parts = plan.parts[lists]
    units = ranges(plan.first[lists], parts)
    asked = np.repeat(np.repeat(np.arange(len(probes)), probes.shape[1]), parts)
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
