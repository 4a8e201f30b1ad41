"""The files of the lists table: which rows each gets, and what an update leaves."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.retrieval import list_table, packed_batches
from pipeline.retrieval.groups import GroupPlan, plan_by_rows
from pipeline.retrieval.vectors import to_bytes
from pipeline.storage.list_schemas import LISTS


def _written(
    rows: list[pa.RecordBatch], files: GroupPlan, base: list[pa.RecordBatch]
) -> dict[int, pa.Table]:
    cells = defaultdict(list)
    for cell in list_table.send_to_files(iter(rows), files):
        for key, rows_of_cell in zip(*cell.to_pydict().values(), strict=True):
            cells[key].append(rows_of_cell)

    def read_base(_first: int, _end: int) -> Iterator[pa.RecordBatch]:
        yield from base

    tables = {}
    for file in range(files.group_count):
        sent = cells[file] or [b""]
        batch = pa.RecordBatch.from_pydict(
            {"key": [file] * len(sent), "rows": sent}, schema=packed_batches.SCHEMA
        )
        parts = list_table.receive_files(iter([batch]), files, read_base)
        tables[file] = pa.Table.from_batches(list(parts), schema=LISTS)
    return tables


def _rows(ids: list[str], vectors: pa.Array) -> pa.RecordBatch:
    columns = [
        pa.array(ids),
        pa.array(np.zeros(len(ids), np.int32)),
        pa.nulls(len(ids), pa.binary()),
        vectors,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=LISTS)


def test_a_list_of_equal_vectors_is_spread_over_its_files() -> None:
    ids = [f"i{n}" for n in range(10_000)]
    equal = _rows(ids, to_bytes(np.ones((len(ids), 4), dtype=np.float32)))
    files = plan_by_rows(np.array([len(ids)]), 10)
    tables = _written([equal], files, [])
    assert max(table.num_rows for table in tables.values()) < 1_200
    assert sorted(id_ for table in tables.values() for id_ in table["item_id"].to_pylist()) == (
        sorted(ids)
    )
    gone = _rows(ids[::3], pa.nulls(len(ids[::3]), pa.binary()))
    base = [batch for table in tables.values() for batch in table.to_batches()]
    updated = _written([gone], files, base)
    left = [id_ for table in updated.values() for id_ in table["item_id"].to_pylist()]
    assert sorted(left) == sorted(set(ids) - set(ids[::3]))
