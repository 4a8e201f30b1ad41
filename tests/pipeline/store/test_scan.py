"""A scan reads each row of a table once, whatever the number of tasks, and in bounded batches."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedError
from pipeline.store import scan
from pipeline.store.scan import Part, Scan, plan_parts

COLUMNS = ("item_id", "n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of 1,700 and 300 rows in row groups of 400, and one without rows."""
    start = 0
    for name, rows in (("a", 1_700), ("b", 300), ("c", 0)):
        numbers = range(start, start + rows)
        columns = {"item_id": [f"i{n}" for n in numbers], "n": pa.array(numbers, pa.int32())}
        table = pa.table(columns | {"other": ["x"] * rows})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=400)
        start += rows
    return tmp_path


def parts(tasks: int) -> tuple[Part, ...]:
    return plan_parts([("a.parquet", 1_700), ("b.parquet", 300), ("c.parquet", 0)], tasks)


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 100])
def test_each_row_is_read_once(folder: Path, tasks: int) -> None:
    read = Scan(folder, parts(tasks), COLUMNS)
    batches = [batch for number in range(len(read.parts)) for batch in read.rows(number)]
    assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(2_000))
    assert {tuple(batch.schema.names) for batch in batches} == {COLUMNS}


@pytest.mark.parametrize(("tasks", "count"), [(1, 2), (2, 3), (4, 5), (100, 5)])
def test_there_are_as_many_tasks_as_asked_for_unless_they_had_few_rows(
    tasks: int, count: int
) -> None:
    assert len(parts(tasks)) == count


def test_long_texts_come_in_small_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_BATCH_BYTES", 100)
    read = Scan(folder, parts(1), COLUMNS)
    assert max(batch.nbytes for batch in read.rows(0)) <= 120
    assert sum(batch.num_rows for batch in read.rows(0)) == 1_700


def test_a_damaged_page_is_named(folder: Path) -> None:
    path = folder / "b.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"b\.parquet"):
        list(Scan(folder, parts(1), ("item_id", "n", "other")).rows(1))
