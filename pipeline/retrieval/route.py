"""Which groups an item and a query travel to: the lists table's rows become the join's parcels."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.ranking import Int64, ranges
from pipeline.retrieval.search import classes
from pipeline.retrieval.vectors import Float32, from_bytes

ITEM, QUERY = 0, 1

# Units of queries that are worked on at a time.
_MOST_UNITS = 1 << 21

# An item is in one unit (a list, or a part of one), a query probes several. `same` is null where no
# rule asks for it; `part` is the task of the merge that a query's candidates come together in.
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        ("same", pa.string()),
        ("unit", pa.int32()),
    ]
)
QUERIES = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        ("same", pa.string()),
        ("units", pa.list_(pa.int32())),
        ("part", pa.int32()),
    ]
)

# The rows at some positions.
Rows = Callable[[Int64], pa.RecordBatch]
# From float32[n, dim] to int[n, nprobe], the lists that each vector probes, nearest first.
Probe = Callable[[Float32], npt.NDArray[np.int32]]


def route(
    batches: Iterator[pa.RecordBatch],
    plan: Plan,
    probe: Probe,
    width: int,
    k: int,
    count: Callable[[int, int, int], None],
) -> Iterator[pa.RecordBatch]:
    """Send each item to its group, and each query once to every group that holds a list it probes.

    Args:
        batches: columns item_id string, list int, vector binary (float16), hash bigint (of the
            vector), eligible boolean (may be a neighbour), query boolean (wants neighbours), same
            string, part int.
        plan: the groups.
        probe: gives the lists that a query probes.
        width: how many those are.
        k: neighbours an item.
        count: is told the queries of each chunk, how often they travel, and the bytes sent.

    Yields:
        batches of parcels, of ITEMS under the key 2 * group + ITEM, of QUERIES under 2 * group +
        QUERY: sorted by key a group's items come before its queries.
    """
    for chunk in parcels.gathered(batches):
        size = chunk.nbytes // chunk.num_rows
        # Equal vectors lie together: they are searched for as one.
        chunk = chunk.take(pa.array(np.argsort(chunk["hash"].to_numpy(), kind="stable")))
        items, asking = (_where(chunk, flag) for flag in ("eligible", "query"))
        if items.num_rows:
            rows, groups = _items(items, plan, k)
            for sent in parcels.pack(rows, groups * 2 + ITEM, size):
                count(0, 0, sent.nbytes)
                yield sent
        for some, probes in _probing(asking, plan, probe, width):
            rows, groups = _queries(some, plan, probes)
            count(some.num_rows, len(groups), 0)
            for sent in parcels.pack(rows, groups * 2 + QUERY, size):
                count(0, 0, sent.nbytes)
                yield sent


def _where(chunk: pa.RecordBatch, flag: str) -> pa.RecordBatch:
    return chunk if pc.all(chunk[flag]).as_py() else chunk.filter(chunk[flag])


def _items(chunk: pa.RecordBatch, plan: Plan, k: int) -> tuple[Rows, Int64]:
    """Those that may be shown, as ITEMS, and their groups."""
    lists = chunk["list"].to_numpy().astype(np.int64)
    # Of a split list the part that the vector's hash says: equal vectors stay together.
    units = plan.first[lists] + chunk["hash"].to_numpy() % plan.parts[lists]
    kept = _lowest(chunk, units, k + 1)
    unit = pa.array(units.astype(np.int32))

    def rows(some: Int64) -> pa.RecordBatch:
        taken = pa.array(kept[some])
        columns = [chunk[name].take(taken) for name in ("item_id", "vector", "same")]
        return pa.RecordBatch.from_arrays([*columns, unit.take(taken)], schema=ITEMS)

    return rows, plan.group[units[kept]]


def _lowest(items: pa.RecordBatch, units: Int64, most: int) -> Int64:
    """Items without those that so many others with their vector and lower ids go before.

    Those can't be among the k best of any query: what is sent of equal items does not grow with
    their number.

    Args:
        items: rows of a chunk, sorted by their vectors' hash.
        units: int64[n], of each item.
        most: how many with one vector are kept.
    """
    hashes = items["hash"].to_numpy()
    starts = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] - 1))
    sizes = np.diff(starts, append=len(hashes))
    many = sizes > most
    if not many.any():
        return np.arange(len(hashes))
    crowded = ranges(starts[many], sizes[many])
    some = items.take(pa.array(crowded))
    values = some["same"].dictionary_encode(null_encoding="encode")
    lists = units[crowded] * len(values.dictionary) + np.asarray(values.indices)
    by_id = np.asarray(pc.sort_indices(some["item_id"]))
    members, _ = classes(lists, some["vector"], by_id, most)
    rest = np.ones(len(hashes), dtype=bool)
    rest[crowded] = False
    return np.sort(np.concatenate([np.flatnonzero(rest), crowded[by_id[members]]]))


def _probing(
    asking: pa.RecordBatch, plan: Plan, probe: Probe, width: int
) -> Iterator[tuple[pa.RecordBatch, Int64]]:
    """Those that ask and the lists that they probe, in slices of not too many units."""
    step = max(1, _MOST_UNITS // width)
    for start in range(0, asking.num_rows, step):
        some = asking.slice(start, step)
        probes = probe(from_bytes(some["vector"])).astype(np.int64)
        # A list in many parts is as many units.
        units = np.cumsum(plan.parts[probes].sum(axis=1)) // _MOST_UNITS
        cuts = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
        for first, last in itertools.pairwise(cuts):
            yield some.slice(first, last - first), probes[first:last]


def _queries(chunk: pa.RecordBatch, plan: Plan, probes: Int64) -> tuple[Rows, Int64]:
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
        columns = [chunk[name].take(taken) for name in ("item_id", "vector", "same")]
        columns += [probed.take(pa.array(some)), chunk["part"].take(taken)]
        return pa.RecordBatch.from_arrays(columns, schema=QUERIES)

    return rows, group[starts]
