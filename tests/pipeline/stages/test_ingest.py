import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline import catalogue
from pipeline.config import CatalogueSection
from pipeline.errors import InputError, UsageError
from pipeline.stages import ingest
from pipeline.tables import digest
from tests.conftest import WriteCsv

Flagged = dict[str | None, dict[str, Any]]


def flagged(spark: SparkSession, path: Path, **settings: Any) -> list[dict[str, Any]]:
    section = CatalogueSection(path=str(path), **settings)
    raw = catalogue.read(spark, section)
    rows = ingest.flag(raw, catalogue.columns(raw, section)).collect()
    return sorted((row.asDict() for row in rows), key=lambda row: str(row["item_id"]))


TITLES = {"a": '赤い "靴", 大\n二行目', "b/%20 あ": "青い靴", "007": "白い靴"}


def csv_bytes(write_csv: WriteCsv) -> bytes:
    return write_csv(list(TITLES.items()), ("item_id", "title")).read_bytes()


Written = Callable[[Path, WriteCsv], Path]


def as_csv_with_mark(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "mark.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv_bytes(write_csv))
    return path


def as_gzip(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "items.csv.gz"
    path.write_bytes(gzip.compress(csv_bytes(write_csv)))
    return path


def as_jsonl(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "items.jsonl"
    lines = [json.dumps({"item_id": i, "title": t}) for i, t in TITLES.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def as_parquet_folder(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "parquet"
    path.mkdir()
    for number, (item, title) in enumerate(TITLES.items()):
        pq.write_table(pa.table({"item_id": [item], "title": [title]}), path / f"{number}.parquet")
    (path / "_SUCCESS").touch()
    return path


@pytest.mark.parametrize("write", [as_csv_with_mark, as_gzip, as_jsonl, as_parquet_folder])
def test_every_format_gives_the_same_items(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv, write: Written
) -> None:
    rows = flagged(spark, write(tmp_path, write_csv))
    assert {row["item_id"]: row["title"] for row in rows} == TITLES
    assert all(row["reasons"] == [] for row in rows)


def test_columns_are_mapped_and_cast(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    table = pa.table(
        {
            "sku": [12, 13],
            "name.ja": ["靴", "鞄"],
            "price": ["1980", "要問合せ"],
            "stock": [3, None],
        }
    )
    pq.write_table(table, path)
    rows = flagged(spark, path, columns={"item_id": "sku", "title": "name.ja"})
    assert [(r["item_id"], r["title"], r["price"], r["stock"]) for r in rows] == [
        ("12", "靴", 1980.0, 3.0),
        ("13", "鞄", None, None),
    ]
    assert [row["numbers_lost"] for row in rows] == [False, True]


def test_shift_jis_is_read_when_it_is_said(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("item_id,title\na,赤い靴\n".encode("shift_jis"))
    assert flagged(spark, path, encoding="Shift_JIS")[0]["title"] == "赤い靴"


def test_bad_rows_carry_their_reasons_and_the_row_as_read(
    spark: SparkSession, write_csv: WriteCsv
) -> None:
    path = write_csv(
        [("a", "靴", ""), ("", "鞄", ""), ("　", "帽子", ""), ("c", "", " "), ("", "", "")]
    )
    with path.open("a", encoding="utf-8") as file:
        file.write("d,短い\n")
    found = {(row["item_id"], row["title"]): row for row in flagged(spark, path)}
    assert found["a", "靴"]["reasons"] == []
    assert found[None, "鞄"]["reasons"] == [ingest.NO_ID]
    assert found["　", "帽子"]["reasons"] == [ingest.NO_ID]
    assert found["c", None]["reasons"] == [ingest.NO_TEXT]
    assert found[None, None]["reasons"] == [ingest.NO_ID, ingest.NO_TEXT]
    assert json.loads(found[None, "鞄"]["row"]) == {"title": "鞄"}
    assert found["d", "短い"]["reasons"] == [ingest.UNREADABLE]
    assert found["d", "短い"]["row"] == "d,短い"


def test_a_broken_json_line_is_set_aside_as_it_stands(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": 1, "title": "靴"}\n{"item_id": 2, "title"\n', encoding="utf-8")
    rows = {row["item_id"]: row for row in flagged(spark, path)}
    assert rows["1"]["reasons"] == []
    assert rows[None]["reasons"] == [ingest.UNREADABLE]
    assert rows[None]["row"] == '{"item_id": 2, "title"'


def test_of_rows_with_one_id_the_longest_text_stays_whatever_the_order(
    spark: SparkSession, write_csv: WriteCsv
) -> None:
    rows = [
        ("a", "短い", ""),
        ("a", "もっと長い題", ""),
        ("a", "短い", "長い説明がある"),
        ("b", "x", ""),
    ]
    rows += [("c", f"同じ長さ{n}", "") for n in range(6)]
    rng = random.Random(0)  # noqa: S311 - a test
    kept = set()
    for attempt in range(3):
        rng.shuffle(rows)
        found = flagged(spark, write_csv(rows, name=f"{attempt}.csv"))
        good = {(r["item_id"], r["title"], r["description"]) for r in found if not r["reasons"]}
        assert [r["reasons"] for r in found if r["reasons"]] == [[ingest.DUPLICATE]] * 7
        kept.add(frozenset(good))
    assert kept == {
        frozenset({("a", "短い", "長い説明がある"), ("b", "x", None), ("c", "同じ長さ0", None)})
    }


def test_the_digest_of_a_table_is_of_its_rows(spark: SparkSession) -> None:
    rows = [("a", "x"), ("b", None), ("c", "z")]
    schema = "item_id string, title string"
    one = digest(spark.createDataFrame(rows, schema).repartition(1))
    other = digest(spark.createDataFrame(rows[::-1], schema).repartition(3))
    changed = digest(spark.createDataFrame([*rows[:2], ("c", "Z")], schema))
    assert one == other
    assert one != changed
    assert len(digest(spark.createDataFrame([], schema))) == 32


def test_every_missing_or_misfit_column_is_named(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": [1.5], "brand": [3], "x": ["y"]}), path)
    section = CatalogueSection(path=str(path), columns={"description": "text", "colour": "x"})
    raw = catalogue.read(spark, section)
    with pytest.raises(InputError) as raised:
        catalogue.columns(raw, section)
    message = str(raised.value)
    for part in (
        "catalogue.columns.colour: unknown",
        "column item_id (for item_id): double, not string or integer",
        "column title (for title) is missing",
        "column text (for description) is missing",
        "column brand (for brand): bigint, not string",
        "It has: item_id, brand, x",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["items.csv.gz", "items.parquet"])
def test_a_damaged_file_is_named(spark: SparkSession, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = gzip.compress(b"item_id,title\n" + random.Random(0).randbytes(50_000).hex().encode())  # noqa: S311
    path.write_bytes(whole[: len(whole) // 2])
    section = CatalogueSection(path=str(path))
    with pytest.raises(InputError, match=name), catalogue.readable(section):
        catalogue.read(spark, section).count()


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        catalogue.identity(CatalogueSection(path=str(tmp_path / "none.csv")))
    with pytest.raises(InputError, match="holds no file"):
        catalogue.identity(CatalogueSection(path=str(tmp_path)))
    (tmp_path / "items.xml").touch()
    with pytest.raises(UsageError, match=r"set catalogue\.format"):
        catalogue.format_of(CatalogueSection(path=str(tmp_path)))
    (tmp_path / "items.csv").touch()
    assert catalogue.format_of(CatalogueSection(path=str(tmp_path / "items.csv"))) == "csv"
