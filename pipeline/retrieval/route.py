"""Which groups an item and a query travel to: rows of the lists table become rows of the join."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval.groups import Plan
from pipeline.retrieval.ranking import Int64, ranges
from pipeline.retrieval.vectors import Float32, from_bytes, to_binary

ITEM, QUERY = 0, 1

# `key` is the group (high bits), the role (1 bit) and a hash of the vector (40 bits): sorted by it,
# a group's items come before its queries, and rows with one vector come together. `lists` are the
# units that the item is in or the query probes, int32. `same` is null where no rule asks for it.
ROUTED = pa.schema(
    [
        ("key", pa.int64()),
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        ("lists", pa.binary()),
        ("same", pa.string()),
    ]
)
ROUTED_DDL = "key bigint, item_id string, vector binary, lists binary, same string"
HASH_BITS = 40
GROUP_SHIFT = HASH_BITS + 1

# From float32[n, dim] to int[n, nprobe], the lists that each vector probes, nearest first.
Probe = Callable[[Float32], "np.ndarray[tuple[int, int], np.dtype[np.int32]]"]


def route(
    batches: Iterator[pa.RecordBatch],
    plan: Plan,
    probe: Probe,
    count: Callable[[int, int, int], None],
) -> Iterator[pa.RecordBatch]:
    """Send each item to its group, and each query once to every group that holds a list it probes.

    Args:
        batches: columns item_id string, list int, vector binary (float16), hash bigint (of the
            vector), eligible boolean (may be a neighbour), query boolean (wants neighbours), same
            string.
        plan: the groups.
        probe: gives the lists that a query probes.
        count: is told the queries of each batch, how often they travel, and the bytes sent.

    Yields:
        batches of ROUTED.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        hashes = batch["hash"].to_numpy()
        items = np.flatnonzero(_flags(batch["eligible"]))
        units = _units(plan, batch["list"].to_numpy()[items].astype(np.int64), hashes[items])
        sent = _rows(batch, items, plan.group[units], ITEM, units, np.ones(len(items), np.int64))
        count(0, 0, sent.nbytes)
        yield sent
        queries = np.flatnonzero(_flags(batch["query"]))
        if not len(queries):
            continue
        vectors = from_bytes(batch["vector"].take(pa.array(queries)))
        rows, units = _probed(plan, probe(vectors).astype(np.int64))
        order = np.lexsort((np.arange(len(rows)), plan.group[units], rows))
        rows, units = rows[order], units[order]
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (np.diff(rows) != 0) | (np.diff(plan.group[units]) != 0)
        starts = np.flatnonzero(new)
        sizes = np.diff(starts, append=len(rows))
        sent = _rows(batch, queries[rows[new]], plan.group[units[new]], QUERY, units, sizes)
        count(len(queries), len(starts), sent.nbytes)
        yield sent


def _flags(column: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=bool)


def _units(plan: Plan, lists: Int64, hashes: Int64) -> Int64:
    """The unit of each item: of a split list the part that its vector's hash says."""
    found: Int64 = plan.first[lists] + hashes % plan.parts[lists]
    return found


def _probed(plan: Plan, probes: Int64) -> tuple[Int64, Int64]:
    """Rows and units of the lists probed, every part of a split one."""
    rows = np.repeat(np.arange(len(probes)), probes.shape[1])
    lists = probes.ravel()
    sizes = plan.parts[lists]
    return np.repeat(rows, sizes), ranges(plan.first[lists], sizes)


def _rows(
    batch: pa.RecordBatch, taken: Int64, group: Int64, role: int, units: Int64, sizes: Int64
) -> pa.RecordBatch:
    places = pa.array(taken)
    hashes = batch["hash"].to_numpy()[taken] & ((1 << HASH_BITS) - 1)
    key = (group * 2 + role) << HASH_BITS | hashes
    lists = to_binary(units.astype("<i4").view(np.uint8), sizes * 4)
    columns = [batch[name].take(places) for name in ("item_id", "vector", "same")]
    return pa.RecordBatch.from_arrays(
        [pa.array(key), columns[0], columns[1], lists, columns[2]], schema=ROUTED
    )
