"""Files that Python workers write: all rows, each once, whatever fails or is repeated."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.storage.list_schemas import list_of
from pipeline.store import arrow_files, file_list, item_rows, schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.store import Store
from tests.pipeline.places import on_disk


def doubled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = pa.array([f"i{n}" for n in batch["id"].to_pylist()])
        columns = [ids, pa.array(batch["id"].cast(pa.int32()))]
        yield pa.RecordBatch.from_arrays(columns, ["item_id", "list"])
        yield pa.RecordBatch.from_arrays(columns, ["item_id", "list"]).slice(0, 0)


def test_every_row_is_written_and_read_by_spark(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    one, two = spark.range(10, numPartitions=3), spark.range(10, 15, numPartitions=8)
    assert store.write_arrow("departures", "v", Rows(one, doubled), Rows(two, doubled)) == 15
    frame = store.read(spark, "departures", "v")
    assert frame.dtypes == [("item_id", "string"), ("list", "int")]
    assert sorted(row.list for row in frame.collect()) == list(range(15))
    # A task without rows has no file.
    assert len(list(store.table_path("departures", "v").glob("part-*.parquet"))) == 3 + 5


def test_tasks_sum_up_numbers_of_the_rows_that_they_write(
    spark: SparkSession, tmp_path: Path
) -> None:
    def count(rows: pa.Table) -> dict[str, int]:
        numbers = rows["list"].to_pylist()
        return {"sum": sum(numbers), f"from {min(numbers)}": len(numbers)}

    rows = Rows(spark.range(10, numPartitions=2), doubled)
    written = Store(str(tmp_path)).write_counted("departures", "v", rows, count=count)
    assert (written.rows, written.sums) == (10, {"sum": 45, "from 0": 5, "from 5": 5})


def test_vectors_in_binary_have_another_codec_than_all_other_columns(
    spark: SparkSession, tmp_path: Path
) -> None:
    pair = pa.struct([("similar_id", pa.string()), ("boost", pa.float64())])
    schema = pa.schema(
        {
            "item_id": pa.string(),
            "vector": list_of(pa.float32()),
            "half": pa.binary(),
            "probes": pa.binary(),
            "floor": pair,
            "edits": list_of(pair),
        }
    )

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.RecordBatch.from_pylist([{"item_id": "i", "half": bytes(64)}], schema=schema)

    rows = Rows(spark.range(1, numPartitions=1), run)
    [file] = arrow_files.write(
        [rows], tmp_path, schema, row_group_bytes=1, plain=("vector", "half")
    ).files
    group = pq.ParquetFile(tmp_path / file.name).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    codecs = {column.path_in_schema: column.compression for column in columns}
    assert codecs.pop("half") == "LZ4"
    assert set(codecs.values()) == {"ZSTD"}
    assert len(columns) == len(schema) + 2
    (row,) = spark.read.parquet(str(tmp_path / file.name)).collect()
    assert row.half == bytes(64)


@pytest.mark.parametrize("table", schemas.SCHEMAS)
def test_paths_of_columns_are_those_of_the_file(tmp_path: Path, table: str) -> None:
    schema = schemas.SCHEMAS[table]
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    written = pq.ParquetFile(tmp_path / "a.parquet").schema
    expected = [written.column(number).path for number in range(len(written))]
    assert [path for field in schema for path in arrow_files._leaf_paths(field)] == expected


def test_no_row_is_an_empty_table_with_its_columns(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.write_arrow("lists", "v", Rows(spark.range(0), doubled)) == 0
    frame = store.read(spark, "lists", "v")
    assert frame.count() == 0
    assert frame.columns == ["item_id", "list", "probes", "vector"]


def test_what_a_failed_attempt_wrote_is_not_kept(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def with_a_leftover(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        (folder,) = (tmp_path / "tables" / "departures").glob("_writing-*")
        rows = pa.table({"item_id": ["old"], "list": pa.array([1], pa.int32())})
        pq.write_table(rows, folder / f"part-00000-{os.urandom(4).hex()}.parquet")
        yield from doubled(batches)

    rows = Rows(spark.range(5, numPartitions=2), with_a_leftover)
    assert store.write_arrow("departures", "v", rows) == 5


def test_what_a_task_writes_late_is_not_read(spark: SparkSession, tmp_path: Path) -> None:
    """Two tasks write the same partition, and one is late: the version is complete before it."""
    store = Store(str(tmp_path))
    store.write_arrow("departures", "v", Rows(spark.range(5, numPartitions=2), doubled))
    folder = tmp_path / "tables" / "departures" / "version=v"
    first = next(folder.glob("part-00000-*.parquet"))
    frames = [store.read(spark, "departures", "v")]
    shutil.copy(first, folder / f"part-00000-{os.urandom(16).hex()}.parquet")
    store = Store(str(tmp_path))
    frames.append(store.read(spark, "departures", "v"))
    assert [frame.count() for frame in frames] == [5, 5]
    assert store.dataset("departures", "v").count_rows() == 5
    rows = store.open_clustered("departures", "v").rows(0, 5, ["item_id"])
    assert sum(batch.num_rows for batch in rows) == 5
    ids = ["i0", "i1", "i2", "i3", "i4"]
    assert item_rows.find_rows(store, "departures", "v", ids, []).num_rows == 5
    assert not store.find_table_damage("departures", "v")


def test_executors_verify_large_tables(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    store.write_arrow("departures", "v", Rows(spark.range(9, numPartitions=3), doubled))
    monkeypatch.setattr(file_list, "_MIN_BYTES_ON_EXECUTORS", 0)
    folder = on_disk(store.table_path("departures", "v"))
    assert file_list.find_damage(folder, lambda: spark) == []
    damaged = sorted(folder.glob("part-*.parquet"))[1]
    content = bytearray(damaged.read_bytes())
    content[40] ^= 1
    damaged.write_bytes(content)
    (problem,) = file_list.find_damage(folder, lambda: spark)
    assert str(damaged) in problem


def test_rows_that_do_not_fit_leave_nothing(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def other(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"item_id": ["x"] * len(batch)})

    with pytest.raises(Exception, match="list"):
        store.write_arrow("departures", "v", Rows(spark.range(5), other))
    assert list((tmp_path / "tables" / "departures").iterdir()) == []
