"""A driver: two nights from tables of Iceberg and Delta Lake, and from Parquet files.

Its argument is a folder to work in. It prints one JSON object.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.catalogue import open_snapshot, source_of
from pipeline.errors import NitamonoError
from tests.lakehouse.lake import DELTA, ICEBERG, Lake, titles

_ITEMS = 40
_MERGE_ON_READ = (
    "USING iceberg TBLPROPERTIES ('format-version' = '2', 'write.delete.mode' = 'merge-on-read', "
    "'write.merge.mode' = 'merge-on-read')"
)
_DELETION_VECTORS = "USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = true)"
_TABLES = {ICEBERG: _MERGE_ON_READ, DELTA: _DELETION_VECTORS}


def first_night(lake: Lake) -> None:
    """Make both tables, with the same rows."""
    lake.spark.createDataFrame(titles(_ITEMS), "item_id string, title string").coalesce(
        1
    ).createOrReplaceTempView("first")
    for table, kind in _TABLES.items():
        lake.spark.sql(f"CREATE TABLE {table} (item_id STRING, title STRING) {kind}")
        lake.spark.sql(f"INSERT INTO {table} SELECT * FROM first")


def second_night(lake: Lake) -> None:
    """Delete, change and add rows of both tables."""
    for table in _TABLES:
        lake.spark.sql(f"DELETE FROM {table} WHERE item_id IN ('i001', 'i002')")
        lake.spark.sql(
            f"MERGE INTO {table} t USING (SELECT 'i005' item_id, '青い 花瓶' title UNION ALL "
            "SELECT 'i900', '青い 花瓶 大') s ON t.item_id = s.item_id "
            "WHEN MATCHED THEN UPDATE SET title = s.title WHEN NOT MATCHED THEN INSERT *"
        )


def deletes(lake: Lake) -> dict[str, int]:
    """How many files of deletes each table has."""
    files = lake.spark.table(f"{ICEBERG}.delete_files").count()
    vectors = list((lake.folder / "spark").rglob("deletion_vector*.bin"))
    return {ICEBERG: files, DELTA: len(vectors)}


def pinned(lake: Lake) -> dict[str, list[int]]:
    """Rows of each table's state that was opened, before and after rows are added; and the sum."""
    counts = {}
    for table in _TABLES:
        snapshot = open_snapshot(lake.spark, source_of(lake.config("any", table=table)))
        before = snapshot.rows.count()
        lake.spark.sql(f"INSERT INTO {table} VALUES ('later', '赤い 靴')")
        counts[table] = [before, snapshot.rows.count(), lake.spark.table(table).count()]
    return counts


def as_files(lake: Lake, name: str) -> str:
    """The present rows, as Parquet files."""
    path = str(lake.folder / name)
    lake.spark.table(DELTA).write.parquet(path)
    return path


def refusals(lake: Lake) -> dict[str, str]:
    """What is said of tables that can't be used, by what is wrong with them."""
    sql = lake.spark.sql
    sql("CREATE TABLE lake.shop.none (item_id STRING, title STRING) USING iceberg")
    sql("CREATE TABLE lake.shop.nested (item_id STRING, title STRUCT<a: STRING>) USING iceberg")
    sql("INSERT INTO lake.shop.nested SELECT '1', named_struct('a', 'b')")
    sql("CREATE VIEW shop.fails AS SELECT item_id, CAST(raise_error('boom') AS STRING) title "
        f"FROM {DELTA}")  # fmt: skip
    places: dict[str, dict[str, Any]] = {
        "no table": {"table": "lake.shop.missing"},
        "no catalog": {"table": "missing.shop.items"},
        "empty": {"table": "lake.shop.none"},
        "nested": {"table": "lake.shop.nested"},
        "view": {"table": "shop.fails"},
        "writes": {"query": f"INSERT INTO {DELTA} SELECT * FROM first"},
        "two statements": {"query": "SELECT 1; SELECT 2"},
        "no snapshot": {"table": ICEBERG, "as_of": "99"},
        "no version": {"table": DELTA, "as_of": "1999-01-01"},
        "no format": {"format": "nosuch"},
        "no variable": {"format": "jdbc", "options": {"password": "${NITAMONO_NO_VARIABLE}"}},
    }
    said = {}
    for name, where in places.items():
        try:
            lake.run(lake.config("refused", **where))
        except NitamonoError as error:
            said[name] = f"{error.exit_code} {error}"
    return said


def main() -> None:
    """Run the nights."""
    lake = Lake(Path(sys.argv[1]))
    first_night(lake)
    facts: dict[str, Any] = {"rows": {}, "again": {}, "as_of": {}}
    firsts = {
        ICEBERG: str(lake.spark.table(f"{ICEBERG}.snapshots").first()["snapshot_id"]),  # type: ignore[index]
        DELTA: "1",
    }
    for night in ("night1", "night2"):
        if night == "night2":
            second_night(lake)
        places: dict[str, dict[str, Any]] = {table: {"table": table} for table in _TABLES}
        places["files"] = {"path": as_files(lake, night)}
        for name, where in places.items():
            config = lake.config(f"store-{name}", **where)
            lake.run(config)
            facts["rows"].setdefault(night, {})[name] = lake.rows(config)
    facts["deletes"] = deletes(lake)
    for table, first in firsts.items():
        again = lake.run(lake.config(f"store-{table}", table=table))
        facts["again"][table] = {name: status for name, status, _ in again.stages}
        config = lake.config(f"store-{table}", table=table, as_of=first)
        lake.run(config)
        facts["as_of"][table] = lake.rows(config)
    # In new stores: a model is trained on the first night's items.
    fresh = lake.config("store-fresh", path=str(lake.folder / "night2"))
    lake.run(fresh)
    facts["fresh"] = lake.rows(fresh)
    query = lake.config("store-query", query=f"SELECT item_id, title FROM {DELTA};")
    lake.run(query)
    facts["query"] = lake.rows(query)
    avro = str(lake.folder / "avro")
    lake.spark.table(DELTA).write.format("avro").save(avro)
    files = lake.config("store-avro", path=avro, format="avro")
    lake.run(files)
    facts["avro"] = lake.rows(files)
    facts["pinned"] = pinned(lake)
    facts["refused"] = refusals(lake)
    print(json.dumps(facts))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
