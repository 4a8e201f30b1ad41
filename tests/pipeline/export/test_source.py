"""Reading the files of a table: lists are complete though files and batches cut them."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import StageError, UsageError
from pipeline.export import source
from pipeline.export.source import Source
from tests.pipeline.export.shops import Row, Shop, make_rows


def ranks(source_table: Source) -> list[list[list[tuple[str, int]]]]:
    """Item and rank of every row, by file and table."""
    return [
        [
            list(zip(table["item_id"].to_pylist(), table["rank"].to_pylist(), strict=True))
            for table in source_table.complete_lists(number)
        ]
        for number in range(len(source_table.files))
    ]


@pytest.mark.parametrize("files", [1, 2, 3, 5, 12, 13])
@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_every_list_is_in_one_table_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, files: int, batch: int
) -> None:
    rows: list[Row] = [
        *make_rows(["a", "b"], 1, k=5),
        *make_rows(["c", "d"], 1, k=1),
        *make_rows(["e"], 1, k=7),
        *make_rows(["f"], 1, k=3),
    ]
    shop.publish("v1", rows, files)
    read = Source.batches

    def small(
        self: Source, number: int, columns: tuple[str, ...] = source.COLUMNS, rows: int = batch
    ) -> Iterator[pa.RecordBatch]:
        return read(self, number, columns, rows)

    monkeypatch.setattr(Source, "batches", small)
    tables = [table for tables in ranks(Source.resolve(shop.store, "LATEST")) for table in tables]
    assert [pair for table in tables for pair in table] == [row[:2] for row in rows]
    assert all(table[0][1] == 1 for table in tables)


def test_a_table_that_is_not_sorted_is_refused(shop: Shop) -> None:
    rows = make_rows(["a", "b", "c"], 1, k=3)
    rows[4], rows[5] = rows[5], rows[4]
    shop.publish("v1", rows)
    with pytest.raises(StageError, match="not sorted by item and rank"):
        ranks(Source.resolve(shop.store, "LATEST"))
    shop.publish("v2", make_rows(["a"], 1, k=3)[1:])
    with pytest.raises(StageError, match="begins within an item's list"):
        ranks(Source.resolve(shop.store, "v2"))


def test_a_file_that_a_gc_has_removed_is_named(shop: Shop) -> None:
    shop.publish("v1", make_rows(["a", "b"], 1), files=2)
    table = Source.resolve(shop.store, "LATEST")
    Path(table.files[1]).unlink()
    with pytest.raises(StageError, match="export the one that is published now"):
        list(table.batches(1))


def test_a_table_without_rows_is_refused(shop: Shop) -> None:
    shop.publish("v1", make_rows(["a"], 1))
    folder = Path(str(shop.store.table_path("similar_items", "v1")))
    for path in folder.iterdir():
        schema = pa.parquet.read_schema(path)
        pa.parquet.write_table(schema.empty_table(), path)
    with pytest.raises(UsageError, match="has no rows"):
        Source.resolve(shop.store, "LATEST")
