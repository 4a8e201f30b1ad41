import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from pyspark.sql import SparkSession

from pipeline import catalogue
from pipeline.config.sections import TextSection
from pipeline.errors import InputError, UsageError
from pipeline.stages.ingest import validation
from pipeline.store import reason_codes
from pipeline.store.schemas import digest
from pipeline.text.placeholders import Placeholders
from tests.conftest import WriteCsv
from tests.pipeline.catalogue.rows import flagged, source

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


def as_orc_folder(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "orc"
    path.mkdir()
    for number, (item, title) in enumerate(TITLES.items()):
        # The parts differ in their columns.
        extra = {"price": ["1"]} if number else {}
        orc.write_table(
            pa.table({"item_id": [item], "title": [title], **extra}), path / f"{number}.orc"
        )
    return path


def as_parquet_folder(folder: Path, write_csv: WriteCsv) -> Path:
    path = folder / "parquet"
    path.mkdir()
    for number, (item, title) in enumerate(TITLES.items()):
        pq.write_table(pa.table({"item_id": [item], "title": [title]}), path / f"{number}.parquet")
    (path / "_SUCCESS").touch()
    return path


@pytest.mark.parametrize(
    "write", [as_csv_with_mark, as_gzip, as_jsonl, as_orc_folder, as_parquet_folder]
)
def test_every_format_gives_the_same_items(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv, write: Written
) -> None:
    rows = flagged(spark, write(tmp_path, write_csv))
    assert {row["item_id"]: row["title"] for row in rows} == TITLES
    assert all(row["reasons"] == [] for row in rows)


def test_placeholders_are_counted_and_blank_or_kept(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    texts = {
        "a": ("NULL", "靴"),
        "b": ("　Ｎ／Ａ ", "ﾅｼ"),
        "c": ("靴", "\\N"),
        "d": ("NULLの靴", "商品名"),
        "e": ("x" * 10_000, None),
    }
    path = write_csv([(item, *both) for item, both in texts.items()], (*"it", "d"))
    chosen = source(path=str(path), columns={"item_id": "i", "title": "t", "description": "d"})
    raw = catalogue.read(spark, chosen)
    columns = catalogue.item_columns(raw, chosen)
    for blank in (True, False):
        placeholders = Placeholders.of(TextSection().placeholder_texts, blank=blank)
        rows = validation.flag_rows(raw, columns, placeholders).collect()
        for row in rows:
            title, description = texts[row["item_id"]]
            assert row["title"] == placeholders.text(title)
            assert row["description"] == placeholders.text(description)
        flags = {
            row["item_id"]: (row["title_placeholder"], row["description_placeholder"])
            for row in rows
        }
        assert flags == {
            "a": (True, False),
            "b": (True, True),
            "c": (False, True),
            "d": (False, True),
            "e": (False, False),
        }
        quarantined = {row["item_id"]: row["reasons"] for row in rows if row["reasons"]}
        assert quarantined == ({"b": ["no_text"]} if blank else {})


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


@pytest.mark.parametrize("name", ["Shift_JIS", "cp932", "windows-31j"])
def test_shift_jis_is_read_with_the_characters_of_windows(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("item_id,title\na,①㈱髙 赤い靴～\n".encode("cp932"))
    assert flagged(spark, path, encoding=name)[0]["title"] == "①㈱髙 赤い靴～"


@pytest.mark.parametrize("folder", ["sub", "2026-11-24/more", "night=1/shop=a"])
def test_files_in_folders_below_are_read_too(
    spark: SparkSession, tmp_path: Path, folder: str
) -> None:
    root = tmp_path / "catalogue"
    for number, below in enumerate(["night=0/shop=b" if "=" in folder else ".", folder]):
        (root / below).mkdir(parents=True, exist_ok=True)
        table = pa.table({"item_id": [f"{number}"], "title": ["靴"]})
        pq.write_table(table, root / below / "items.parquet")
    assert [row["item_id"] for row in flagged(spark, root)] == ["0", "1"]


def test_files_written_by_pandas_are_read(spark: SparkSession, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "item_id": np.array([1, 2], dtype=np.uint64),
            "title": ["靴", "鞄"],
            "description": [None, None],
            "seen": pd.to_datetime(["2026-11-24", "2026-11-25"]),
            "Title": ["x", "y"],
        }
    )
    frame.to_parquet(tmp_path / "items.parquet")
    frame[["item_id", "title"]].to_csv(tmp_path / "items.csv")
    for name in ("items.parquet", "items.csv"):
        rows = flagged(spark, tmp_path / name)
        assert [(r["item_id"], r["title"], r["reasons"]) for r in rows] == [
            ("1", "靴", []),
            ("2", "鞄", []),
        ]


def test_a_header_may_repeat_unused_columns_only(spark: SparkSession, write_csv: WriteCsv) -> None:
    fine = write_csv([("a", "靴", "1", "2")], ("item_id", "title", "x", "x"), "fine.csv")
    assert flagged(spark, fine)[0]["title"] == "靴"
    twice = write_csv([("a", "靴", "鞄")], ("item_id", "title", "title"), "twice.csv")
    with pytest.raises(InputError, match="columns come twice: title"):
        flagged(spark, twice)


def test_files_with_other_headers_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("item_id,title\na,靴\n", encoding="utf-8")
    (tmp_path / "2.csv").write_text("title,item_id\n鞄,b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"the header of .*2\.csv is title, item_id"):
        flagged(spark, tmp_path)


def test_tab_separated_files_in_a_folder(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "1.tsv").write_text("item_id\ttitle\na\t靴, 赤\n", encoding="utf-8")
    assert flagged(spark, tmp_path)[0]["title"] == "靴, 赤"


def test_lines_of_json_may_differ_in_case_and_lack_fields(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": 1, "title": "靴"}\n{"item_id": 2, "Title": "鞄"}\n', "utf-8")
    assert [row["reasons"] for row in flagged(spark, path)] == [[], [reason_codes.NO_TEXT]]


def test_bad_rows_carry_their_reasons_and_the_row_as_read(
    spark: SparkSession, write_csv: WriteCsv
) -> None:
    path = write_csv(
        [("a", "靴", ""), ("", "鞄", ""), ("　", "帽子", ""), ("c", "", " "), ("", "", "")]
    )
    with path.open("a", encoding="utf-8") as file:
        file.write("d,短い\r\ne,長い,x,y\r\n")
    rows = {(row["item_id"], row["title"]): row for row in flagged(spark, path)}
    assert rows["a", "靴"]["reasons"] == []
    assert rows[None, "鞄"]["reasons"] == [reason_codes.NO_ITEM_ID]
    assert rows["　", "帽子"]["reasons"] == [reason_codes.NO_ITEM_ID]
    assert rows["c", None]["reasons"] == [reason_codes.NO_TEXT]
    assert rows[None, None]["reasons"] == [reason_codes.NO_ITEM_ID, reason_codes.NO_TEXT]
    assert json.loads(rows[None, "鞄"]["row"]) == {"title": "鞄"}
    assert rows["d", "短い"]["reasons"] == []
    assert rows["e", "長い"]["reasons"] == [reason_codes.TOO_MANY_CELLS]
    assert rows["e", "長い"]["row"] == "e,長い,x,y"


def test_a_broken_json_line_is_quarantined_unchanged(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": 1, "title": "靴"}\n{"item_id": 2, "title"\n', encoding="utf-8")
    rows = {row["item_id"]: row for row in flagged(spark, path)}
    assert rows["1"]["reasons"] == []
    assert rows[None]["reasons"] == [reason_codes.UNREADABLE_ROW]
    assert rows[None]["row"] == '{"item_id": 2, "title"'


def test_the_row_with_the_longest_text_wins_in_any_order(
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
    outcomes = set()
    for attempt in range(3):
        rng.shuffle(rows)
        result = flagged(spark, write_csv(rows, name=f"{attempt}.csv"))
        good = {(r["item_id"], r["title"], r["description"]) for r in result if not r["reasons"]}
        assert [r["reasons"] for r in result if r["reasons"]] == [
            [reason_codes.DUPLICATE_ITEM_ID]
        ] * 7
        outcomes.add(frozenset(good))
    assert outcomes == {
        frozenset({("a", "短い", "長い説明がある"), ("b", "x", None), ("c", "同じ長さ0", None)})
    }


def test_the_digest_of_a_table_depends_on_its_rows_only(spark: SparkSession) -> None:
    rows = [("a", "x"), ("b", None), ("c", "z")]
    schema = "item_id string, title string"
    one = digest(spark.createDataFrame(rows, schema).repartition(1))
    other = digest(spark.createDataFrame(rows[::-1], schema).repartition(3))
    changed = digest(spark.createDataFrame([*rows[:2], ("c", "Z")], schema))
    wide = f"{schema}, description string"
    moved = [("a", "x", None), ("a", None, "x")]
    assert digest(spark.createDataFrame(moved[:1], wide)) != digest(
        spark.createDataFrame(moved[1:], wide)
    )
    assert one == other
    assert one != changed
    assert len(digest(spark.createDataFrame([], schema))) == 32


def test_every_missing_or_misfit_column_is_named(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    table = {"item_id": [1.5], "brand": [True], "x": [0.5], "y": [0.5], "z": ["new"]}
    pq.write_table(pa.table(table), path)
    columns = {"description": "text", "colour": "x", "released": "y", "new": "z", "seller": "shop"}
    types = {"released": "date", "new": "boolean"}
    chosen = source(path=str(path), columns=columns, types=types)
    raw = catalogue.read(spark, chosen)
    with pytest.raises(InputError) as raised:
        catalogue.item_columns(raw, chosen)
    message = str(raised.value)
    for part in (
        "column x (for colour): double, not string or integer",
        "column y (for released): double, not a date",
        "column shop (for seller) is missing",
        "column item_id (for item_id): double, not string or integer",
        "column title (for title) is missing",
        "column text (for description) is missing",
        "column brand (for brand): boolean, not string or integer",
        "It has: item_id, brand, x, y, z",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["items.csv.gz", "items.parquet"])
def test_a_damaged_file_is_named(spark: SparkSession, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    complete = gzip.compress(b"item_id,title\n" + random.Random(0).randbytes(50_000).hex().encode())  # noqa: S311
    path.write_bytes(complete[: len(complete) // 2])
    chosen = source(path=str(path))
    with pytest.raises(InputError, match=name), catalogue.explained_damage(chosen):
        catalogue.read(spark, chosen).count()


def test_missing_files_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        catalogue.identity(source(path=str(tmp_path / "none.csv")))
    with pytest.raises(InputError, match="holds no file"):
        catalogue.identity(source(path=str(tmp_path)))
    (tmp_path / "items.xml").touch()
    with pytest.raises(UsageError, match=r"set catalogue\.format"):
        catalogue.format_of(source(path=str(tmp_path)))
    (tmp_path / "items.csv").touch()
    assert catalogue.format_of(source(path=str(tmp_path / "items.csv"))) == "csv"


def _catalogue(folder: Path, *contents: bytes) -> Path:
    """A folder of CSV files with these contents, all of one time."""
    for number, content in enumerate(contents):
        file = folder / f"{number}" / "items.csv"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        os.utime(file, (1, 1))
    return folder


@pytest.mark.parametrize("copy", [shutil.copy2, shutil.copy, os.link])
def test_a_copied_catalogue_has_the_same_identity(
    tmp_path: Path, copy: Callable[..., object]
) -> None:
    original = _catalogue(tmp_path / "a", b"item_id,title\na,x\n", b"item_id,title\nb,y\n")
    shutil.copytree(original, tmp_path / "b" / "c", copy_function=copy)
    same = catalogue.identity(source(path=str(tmp_path / "b" / "c")))
    assert catalogue.identity(source(path=str(original))) == same
    file, copied = (folder / "0" / "items.csv" for folder in (original, tmp_path / "b" / "c"))
    same = catalogue.identity(source(path=str(copied)))
    assert catalogue.identity(source(path=str(file))) == same


@pytest.mark.parametrize("most", [catalogue.files.HASHED_BYTES, 0])
def test_another_catalogue_with_the_same_names_sizes_and_times_has_another_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Files that are too large together to be hashed are distinguished by their absolute paths."""
    monkeypatch.setattr(catalogue.files, "HASHED_BYTES", most)
    one = _catalogue(tmp_path / "a", b"item_id,title\na,x\n", b"item_id,title\nb,y\n")
    other = _catalogue(tmp_path / "b", b"item_id,title\na,x\n", b"item_id,title\nb,z\n")
    identities = [catalogue.identity(source(path=str(folder))) for folder in (one, other)]
    assert identities[0] != identities[1]
    assert [file[1] for file in identities[0]] == [file[1] for file in identities[1]]


def test_a_replaced_file_of_the_same_size_and_time_changes_the_identity(tmp_path: Path) -> None:
    chosen = source(path=str(_catalogue(tmp_path / "a", b"item_id,title\na,x\n")))
    before = catalogue.identity(chosen)
    shutil.rmtree(tmp_path / "a")
    _catalogue(tmp_path / "a", b"item_id,title\na,y\n")
    assert catalogue.identity(chosen) != before
    (tmp_path / "a" / "0").rename(tmp_path / "a" / "key=value")
    assert catalogue.identity(chosen) != before


def test_a_large_file_that_was_written_again_changes_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue.files, "HASHED_BYTES", 0)
    chosen = source(path=str(_catalogue(tmp_path / "a", b"item_id,title\na,x\n")))
    before = catalogue.identity(chosen)
    os.utime(tmp_path / "a" / "0" / "items.csv", (2, 2))
    assert catalogue.identity(chosen) != before


def test_a_file_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = source(path=str(_catalogue(tmp_path / "a", b"x")))
    gone = catalogue.files.list_files(chosen)
    shutil.rmtree(tmp_path / "a" / "0")
    monkeypatch.setattr(catalogue.files, "list_files", lambda _: gone)
    with pytest.raises(InputError, match=r"a file can't be read .*items\.csv"):
        catalogue.identity(chosen)
