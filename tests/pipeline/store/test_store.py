import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import StageError, UsageError
from pipeline.store import file_list
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.store.versions import rename_unless_exists
from tests.pipeline.places import on_disk

NEIGHBOR = "item_id string, neighbors int, reason string"


def test_a_table_appears_whole_and_is_not_written_twice(
    spark: SparkSession, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "odd [store] 日本"))
    frame = spark.createDataFrame([("a", 1, "x"), ("b", 2, "y")], NEIGHBOR)
    assert store.write(frame, "short_lists", "v1") == 2
    again = spark.createDataFrame([("c", 3, "z")], NEIGHBOR)
    store.write(again, "short_lists", "v1")
    assert {row.item_id for row in store.read(spark, "short_lists", "v1").collect()} == {"a", "b"}
    folder = store.table_path("short_lists", "v1")
    assert [path.name for path in folder.parent.iterdir()] == ["version=v1"]
    assert pq.read_table(folder, columns=["item_id"]).num_rows == 2


def test_a_failed_write_leaves_nothing(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    frame = spark.createDataFrame([("a", 0, "x")], NEIGHBOR)
    bad = frame.selectExpr("item_id", "int(1 / neighbors) as neighbors", "reason")
    with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
        store.write(bad, "short_lists", "v1")
    assert list((tmp_path / "tables" / "short_lists").iterdir()) == []


def test_a_frame_of_another_schema_is_refused_with_every_difference(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = spark.createDataFrame([("a", "1")], "item_id string, neighbors string")
    with pytest.raises(StageError) as raised:
        Store(str(tmp_path)).write(frame, "short_lists", "v1")
    assert "neighbors is string, not int" in str(raised.value)
    assert "reason is missing, not string" in str(raised.value)


def test_a_record_whose_table_is_gone_does_not_count(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    record = StageRecord("neighbors", "v1", "run", {}, {"short_lists": 1})
    store.write_record(record)
    assert store.find_record("neighbors", "v1") is None
    store.write(spark.createDataFrame([("a", 1, "x")], NEIGHBOR), "short_lists", "v1")
    assert store.find_record("neighbors", "v1") == record
    assert store.find_record("neighbors", "v2") is None


def test_everything_is_flushed_before_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def flush(descriptor: int) -> None:
        events.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def name_folder(path: Path, target: Path) -> Path:
        contents = {("flush", entry.name) for entry in (path, *path.iterdir())}
        assert contents <= set(events)
        events.append(("name", target.name))
        return rename(path, target)

    def replace_file(path: Path, target: Path) -> Path:
        assert ("flush", path.name) in events
        events.append(("name", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "rename", name_folder)
    monkeypatch.setattr(Path, "replace", replace_file)
    store = Store(str(tmp_path))
    rows = [{"item_id": "a", "neighbors": 1, "reason": "x"}]
    store.write_rows(rows, "short_lists", "v1")
    store.set_latest("short_lists", "v1", "run")
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.bin").write_bytes(b"rows")
    rename_unless_exists(model, tmp_path / "final")
    named = [("name", "version=v1"), ("flush", "short_lists")]
    pointed = [("name", "LATEST"), ("flush", "short_lists")]
    assert [events[events.index(pair[0]) :][:2] for pair in (named, pointed)] == [named, pointed]


def test_of_two_that_found_the_same_damage_the_first_to_finish_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of the first is not set aside by the second, which looked before it was there."""
    store, find_damage = Store(str(tmp_path)), file_list.find_damage
    rows = [{"item_id": "a", "neighbors": 1, "reason": "x"}]
    store.write_rows(rows, "short_lists", "v1")
    folder = on_disk(store.table_path("short_lists", "v1"))
    (folder / "part-00000.parquet").write_bytes(b"")

    def with_another(checked: Path) -> list[str]:
        damage = find_damage(checked)
        monkeypatch.setattr(file_list, "find_damage", find_damage)
        Store(str(tmp_path)).write_rows(rows, "short_lists", "v1")
        return damage

    monkeypatch.setattr(file_list, "find_damage", with_another)
    store.write_rows(rows, "short_lists", "v1")
    assert len(list(folder.parent.glob("_damaged-*"))) == 1
    assert not list(folder.parent.glob("_writing-*"))
    assert Store(str(tmp_path)).find_table_damage("short_lists", "v1") == ""


def test_the_pointer_is_one_line_of_json(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.latest() is None
    store.set_latest("similar_items", "v1", "run-1")
    text = (tmp_path / "tables" / "similar_items" / "LATEST").read_text()
    assert text.count("\n") == 1
    path = str(tmp_path / "tables" / "similar_items" / "version=v1")
    assert json.loads(text) == {"version": "v1", "run_id": "run-1", "path": path}


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"store\.path .*choose another folder"):
        Store(str(tmp_path / "file" / "store"))


def test_fingerprints_follow_every_part_and_not_the_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert len({fingerprint({"a": value}) for value in (1, 2, "1", [1], None)}) == 5
