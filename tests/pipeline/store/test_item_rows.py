"""Rows by ids, and what is read for them."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.store import item_rows
from pipeline.store.store import Store
from tests.pipeline.places import on_disk


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A table of 2,000 items in 20 files, in order, and the same rows shuffled."""
    store = Store(str(tmp_path / "store"))
    rows = [{"item_id": f"{n:05d}é", "title": f"t{n}", "list": n} for n in range(0, 4000, 2)]
    _write(store, "details", rows)
    random.Random(1).shuffle(rows)  # noqa: S311 - test data
    _write(store, "items", [*rows, rows[0] | {"title": "again"}])
    return store


def _write(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    folder = on_disk(store.table_path(table, "v"))
    folder.mkdir(parents=True)
    for place, start in enumerate(range(0, len(rows), 100)):
        part = pa.Table.from_pylist(rows[start : start + 100])
        pq.write_table(part, folder / f"part-{place:05d}.parquet", row_group_size=10)


WANTED = ["00000é", "00400é", "00402é", "03998é", "00401é", "", "zzz"]


@pytest.mark.parametrize(("table", "in_order"), [("details", True), ("details", False),
                                                 ("items", False)])  # fmt: skip
def test_the_rows_of_ids_are_found(store: Store, table: str, in_order: bool) -> None:
    result = item_rows.find_rows(store, table, "v", WANTED, ["title", "none"], in_order=in_order)
    assert result.column_names == ["item_id", "title"]
    rows = {(row["item_id"], row["title"]) for row in result.to_pylist()}
    expected = {(f"{n:05d}é", f"t{n}") for n in (0, 400, 402, 3998)}
    assert rows - {row for row in rows if row[1] == "again"} == expected


def test_in_order_few_files_and_one_row_group_an_id_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, groups = [], []
    real, read = pq.ParquetFile.__init__, pq.ParquetFile.read_row_group

    def note(self: Any, source: str, **more: Any) -> None:
        opened.append(source)
        real(self, source, **more)

    def note_group(self: Any, group: int, **more: Any) -> Any:
        groups.append((group, more["columns"]))
        return read(self, group, **more)

    monkeypatch.setattr(pq.ParquetFile, "__init__", note)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", note_group)
    result = item_rows.find_rows(store, "details", "v", ["00642é"], ["title"], in_order=True)
    assert result["title"].to_pylist() == ["t642"]
    assert groups == [(2, ["item_id"]), (2, ["item_id", "title"])]
    assert len(opened) <= 6


def test_in_order_the_rows_of_one_id_may_lie_in_several_files(store: Store) -> None:
    rows = [{"item_id": f"{n // 150:02d}", "title": str(n), "list": n} for n in range(1000)]
    _write(store, "similar_items", rows)
    for item in (0, 1, 4, 6):
        ids = [f"{item:02d}"]
        result = item_rows.find_rows(store, "similar_items", "v", ids, ["list"], in_order=True)
        assert result["list"].to_pylist() == [n for n in range(1000) if n // 150 == item]


def test_ids_beside_one_that_is_not_there_are_named(store: Store) -> None:
    for item, expected in (
        ("00405é", ["00402é", "00404é", "00406é"]),
        ("", ["00000é", "00002é", "00004é"]),
        ("00199é", ["00196é", "00198é"]),  # the last of its row group
        ("zzz", ["03996é", "03998é"]),
    ):
        assert item_rows.nearest_ids(store, "details", "v", item) == expected


def test_a_version_that_is_gone_is_told_of(store: Store) -> None:
    with pytest.raises(UsageError, match="version x of the table details is not in the store"):
        item_rows.find_rows(store, "details", "x", ["a"], ["title"], in_order=True)
