"""Sizes of what a run writes, beside the sizes of the files on the disk."""

from dataclasses import replace
from pathlib import Path

from pipeline.runs import sizes
from pipeline.store import file_list
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

VERSION, EARLIER = "a" * 16, "b" * 16


def on_the_disk(store: Store, table: str) -> int:
    folder = on_disk(store.table_path(table, VERSION))
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


def test_they_are_those_of_the_files_and_what_is_shared_is_not_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    pair = {"item_id": "a", "rank": 1, "similar_id": "b", "score": 0.5}
    store.write_rows([pair], "similar_items", VERSION)
    short = {"item_id": "c", "neighbors": 0, "reason": "no_tokens"}
    store.write_rows([short], "short_lists", VERSION)
    record = StageRecord("publish", VERSION, "run", {}, {"similar_items": 1, "short_lists": 1})
    table = on_the_disk(store, "similar_items")
    assert sizes.table_bytes(store, record) == table > 0
    whole = table + on_the_disk(store, "short_lists")
    assert sizes.written_bytes(store, record) == whole
    with_model = replace(record, counts={"model_bytes": 1000})
    assert sizes.written_bytes(store, with_model) == whole + 1000
    folder = store.table_path("similar_items", VERSION)
    listed = file_list.read(folder)
    assert listed is not None
    earlier = file_list.File("part-0.parquet", 77, "0" * 64, folder=f"version={EARLIER}")
    file_list.write(folder, [*listed.files, earlier], base=EARLIER)
    assert sizes.table_bytes(store, record) == table + 77
    assert sizes.written_bytes(store, record) == whole
    # Whoever reads the table says that it is damaged.
    (on_disk(folder) / file_list.NAME).write_text("{")
    assert sizes.table_bytes(store, record) == 0
