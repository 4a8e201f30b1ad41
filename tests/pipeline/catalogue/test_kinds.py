"""Every kind of odd file: read rightly, its odd rows set aside, or refused with the remedy."""

import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline import catalogue
from pipeline.catalogue import files as catalogue_files
from pipeline.catalogue import names
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError, UsageError
from tests.pipeline.catalogue.rows import flagged, source

Files = dict[str, str | bytes | pa.Table]
Items = dict[str, str]
# The files' content by the value of the folder that they are in.
IN_FOLDERS: dict[str, Callable[[str], str | pa.Table]] = {
    "a.csv": lambda value: f"item_id,title\ni{value},靴\n",
    "a.jsonl": lambda value: json.dumps({"item_id": f"i{value}", "title": "靴"}),
    "a.parquet": lambda value: pa.table({"item_id": [f"i{value}"], "title": ["靴"]}),
}
PLAIN = {"a": "赤い靴", "b": "青い靴"}


@dataclass(frozen=True)
class Kind:
    """A kind of catalogue that is read: its files, and what comes out.

    Attributes:
        files: the content of each file.
        items: item_id and one column of each item.
        quarantined: reasons of the rows set aside.
        column: the column in `items`.
        settings: of [catalogue].
    """

    files: Files
    items: Items = field(default_factory=lambda: dict(PLAIN))
    quarantined: tuple[str, ...] = ()
    column: str = "title"
    settings: dict[str, Any] = field(default_factory=dict)


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def table(**columns: Any) -> pa.Table:
    return pa.table({"item_id": list(PLAIN), "title": list(PLAIN.values()), **columns})


def unchecked(*texts: bytes) -> pa.Array:
    """Strings of Arrow that need not be UTF-8, as some writers make them."""
    return pa.array(texts, pa.binary()).view(pa.string())


LINES = [json.dumps({"item_id": i, "title": t}, ensure_ascii=False) for i, t in PLAIN.items()]
JSONL, CSV = "\n".join(LINES), "item_id,title\na,赤い靴\nb,青い靴\n"
WIDE = "item_id,title,description\n"
POEM = "赤い靴\n" * 30
IDS = [uuid.UUID(int=1), uuid.UUID(int=255)]

KINDS = {
    # JSON Lines
    "objects on one line": Kind({"a.jsonl": f"{JSONL}\n{''.join(LINES)}\n{' '.join(LINES)}\n"},
                                quarantined=("several_objects",) * 2),
    "what follows an object": Kind({"a.jsonl": f"{JSONL}\n{LINES[0]} x\n{LINES[0]}]}}\n[]\n5\n"},
                                   quarantined=("unreadable_row",) * 4),
    "a key twice": Kind({"a.jsonl": JSONL + '\n{"item_id": "c", "title": "x", "title": "y"}\n'},
                        quarantined=("duplicate_key",)),
    "a nested key twice": Kind({"a.jsonl": JSONL + '\n{"item_id": "c", "x": {"y": 1, "y": 2}}\n'},
                               quarantined=("unreadable_row",)),
    "an array over lines": Kind({"a.json": "[\n" + ",\n".join(LINES) + "\n]\n"}),
    "an array on one line": Kind({"a.json": f"[{', '.join(LINES)}]"}),
    "JSON lines that end with CR": Kind({"a.jsonl": "\ufeff" + "\r".join(LINES) + "\r"}),
    "JSON in UTF-16": Kind({"a.jsonl": f"{JSONL}\n".encode("utf-16")},
                           settings={"encoding": "UTF-16"}),
    "JSON in Shift_JIS": Kind({"a.jsonl.gz": gzip.compress(f"{JSONL}\n".encode("cp932"))},
                              settings={"encoding": "Shift_JIS"}),
    "a byte that is not UTF-8": Kind({"a.jsonl": JSONL.encode().replace("い".encode(), b"\xe3", 1)},
                                     {"a": "赤\ufffd靴", "b": "青い靴"}),
    "many line breaks": Kind({"a.jsonl": json.dumps({"item_id": "a", "title": POEM})},
                             {"a": POEM}),
    "an array of texts in JSON": Kind(
        {"a.jsonl": '{"item_id": 1.50, "title": ["赤い", "靴"]}\n{"item_id": 2, "title": []}'},
        {"1.5": "赤い 靴"}, quarantined=("no_text",)),
    "JSON parts of other types": Kind(
        {"a.jsonl": '{"item_id": 1, "title": "靴"}', "b.jsonl": '{"item_id": "02", "title": "鞄"}'},
        {"1": "靴", "02": "鞄"}),
    # CSV
    "CSV lines that end with CR": Kind({"a.csv": CSV.replace("\n", "\r")}),
    "fewer cells": Kind({"a.csv": WIDE + 'a,赤い靴\nb,青い靴,x\nc,"二\n行, ""靴"""\nd\n'},
                        {**PLAIN, "c": '二\n行, "靴"'}, quarantined=("no_text",)),
    "more cells": Kind({"a.csv": CSV + "c,靴,1\nd,鞄,\n"}, quarantined=("too_many_cells",) * 2),
    "an empty cell too many, in the header too": Kind(
        {"a.csv": "item_id,title,\na,赤い靴,\nb,青い靴\nc,鞄,x,y\n"},
        quarantined=("too_many_cells",)),
    "a quotation mark that is never closed": Kind({"a.csv": WIDE + 'a,赤い靴,x\nb,"青い靴\nc,鞄\n'},
                                                  {"a": "赤い靴"},
                                                  quarantined=("unclosed_quote",) * 2),
    "a quotation mark that is closed by the next": Kind(
        {"a.csv": WIDE + 'a,赤い靴,x\nb,"青い靴,y\nc,鞄,z\n\nd,"鞄",x\ne,傘\n'},
        {"a": "赤い靴", "e": "傘"}, quarantined=("unclosed_quote",) * 3),
    "the same in lines that end with CR": Kind(
        {"a.csv": (WIDE + 'a,赤い靴,x\nb,"青い靴,y\nd,"鞄",x\ne,傘\n').replace("\n", "\r")},
        {"a": "赤い靴", "e": "傘"}, quarantined=("unclosed_quote",) * 2),
    "cells that begin with quotation marks": Kind(
        {"a.csv": WIDE + 'a,"""赤い"" 靴, 大, 中\n小",x\nb,"""靴",x\nc,"""a\nb",\n'},
        {"a": '"赤い" 靴, 大, 中\n小', "b": '"靴', "c": '"a\nb'}),
    "many line breaks in CSV": Kind({"a.csv": CSV + f'c,"{POEM}"\n'}, {**PLAIN, "c": POEM}),
    "TSV is not quoted": Kind({"A.TSV": 'item_id\ttitle\na\t"赤い"靴\nb\t"青い\nc\t靴"\n'},
                              {"a": '"赤い"靴', "b": '"青い', "c": '靴"'}),
    "TSV that is quoted": Kind({"a.tsv": 'item_id\ttitle\r\na\t"赤い\t""靴"""\r\n'},
                               {"a": '赤い\t"靴"'}, settings={"quote": '"'}),
    "CSV that is not quoted": Kind({"a.csv": 'item_id,title\na,"靴\nb,鞄"\n'},
                                   {"a": '"靴', "b": '鞄"'}, settings={"quote": ""}),
    "names in capitals": Kind({"A.CSV.GZ": gzip.compress(CSV.encode())}),
    "an empty part": Kind({"0.csv": b"", "1.csv.gz": b"", "2.csv": CSV}),
    "files of the system": Kind({"a.csv": CSV, "b/Thumbs.db": b"\xd0\xcf", ".DS_Store": b"x",
                                 "Desktop.ini": b"[x]"}),
    # Parquet
    "strings without their mark": Kind({"a.parquet": table().cast(pa.schema(
        {"item_id": pa.binary(), "title": pa.binary()}))}),
    "strings that are not UTF-8": Kind(
        {"a.parquet": pa.table({"item_id": unchecked(b"a", b"b", b"c\xff", b""),
                                "title": unchecked(b"\xe8\xb5 x", b"y", b"z", b"\xff")})},
        {"a": "\ufffd x", "b": "y"}, quarantined=("garbled_item_id", "no_item_id")),
    "an array of texts": Kind({"a.parquet": table(description=[["x", None, "y"], ["z"]])},
                              {"a": "x y", "b": "z"}, column="description"),
    "a column left out": Kind({"a.parquet": table(description=[{"x": 1}] * 2)},
                              settings={"columns": {"description": ""}}),
    "types that Spark does not read": Kind(
        {"a.parquet": table(price=pa.array([1, 2], pa.uint32()), t=[time(1), time(2)],
                            ms=pa.array([1, 2], pa.time32("ms")), h=pa.array([1, 2], pa.float16()),
                            u=pa.array([one.bytes for one in IDS], pa.uuid()))}),
    "UUIDs": Kind({"a.parquet": pa.table(
        {"item_id": pa.array([one.bytes for one in IDS], pa.uuid()), "title": ["靴", "鞄"]})},
        {str(IDS[0]): "靴", str(IDS[1]): "鞄"}),
    # Folders
    **{f"folders as columns, {ending}": Kind(
        {f"category={value}/{ending}": content(value) for value in ("001", "01", "1")},
        {f"i{value}": value for value in ("001", "01", "1")}, column="category")
       for ending, content in IN_FOLDERS.items()},
    "a folder with a colon": Kind({"at 10:00/a.jsonl": JSONL}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_it_is_read(spark: SparkSession, tmp_path: Path, kind: Kind) -> None:
    folder = write(tmp_path, kind.files)
    catalogue.identity(source(path=str(folder), **kind.settings))
    rows = flagged(spark, folder, **kind.settings)
    kept = {row["item_id"]: row[kind.column] for row in rows if not row["reasons"]}
    assert kept == kind.items
    assert sorted(row["reasons"][0] for row in rows if row["reasons"]) == sorted(kind.quarantined)
    # The quarantine's rows are UTF-8, whatever they were.
    assert all(isinstance(row["row"], str) for row in rows)


ARRAY_OF_STRUCTS = pa.array([[{"x": 1}], []])
REFUSED: dict[str, tuple[Files, dict[str, Any], str]] = {
    "no object alone": ({"a.jsonl": "".join(LINES)}, {},
                        r"no line .* \(1: the line holds more than one JSON object; write one"),
    "JSON of another encoding": ({"a.jsonl": '{"title": "表示"}'.encode("cp932")}, {},
                                 "the files are not UTF-8: set catalogue.encoding"),
    "JSON in UTF-16": ({"a.jsonl": JSONL.encode("utf-16")}, {}, r'a\.jsonl: is UTF-16, .*"UTF-16"'),
    "CSV in UTF-16": ({"a.csv": CSV.encode("utf-16")}, {}, r'a\.csv: is UTF-16, .*"UTF-16"'),
    "one file of JSON in UTF-16": ({"a.jsonl": JSONL, "b.jsonl": JSONL.encode("utf-16")}, {},
                                   r'b\.jsonl: is UTF-16'),
    "CSV and TSV": ({"a.csv": CSV, "b.tsv": CSV.replace(",", "\t")}, {}, r"both \.csv and \.tsv"),
    "gzip by another name": ({"a.csv": gzip.compress(CSV.encode())}, {}, r"ends in \.gz"),
    "nothing but empty parts": ({"a.csv": b"", "b.csv": b""}, {}, "a header is needed"),
    "structs": ({"a.parquet": table(description=ARRAY_OF_STRUCTS)}, {},
                r"column description .*struct<x:bigint>.*description = \"\""),
    "times": ({"a.parquet": table(category=[time(1), time(2)])}, {},
              r"column category \(for category\): time64\[us\], which can't be read"),
    "Parquet parts of other types": (
        {"a.parquet": table(price=[1, 2]), "b.parquet": table(price=["1", "2"])}, {},
        r"column price is int64 in \S+a\.parquet, and string in \S+b\.parquet; write all"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(
    spark: SparkSession, tmp_path: Path, files: Files, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        flagged(spark, write(tmp_path, files), **settings)


def test_parquet_in_brotli_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet", compression="brotli")
    chosen = source(path=str(tmp_path))
    with (
        pytest.raises(InputError, match=r"a\.parquet is compressed with Brotli.*zstd"),
        catalogue.explained_damage(chosen),
    ):
        flagged(spark, tmp_path)


BY_NAME: dict[str, tuple[Files, str, str]] = {
    "a colon": ({"at 10:00.csv": CSV}, ".", "with : in their names; rename it"),
    "a colon, one file": ({"at 10:00.csv": CSV}, "at 10:00.csv", "rename it"),
    "Brotli": ({"a.csv.br": b"x"}, ".", r"can't decompress \.br; .*gzip"),
    "zip": ({"a.jsonl.ZIP": b"x"}, ".", r"can't decompress \.zip"),
    "an empty Parquet file": ({"a.parquet": b"x", "b.parquet": b""}, ".", r"b\.parquet: has 0 byt"),
    "nothing but Thumbs.db": ({"Thumbs.db": b"x"}, ".", "holds no file"),
    "Delta": ({"a.parquet": b"x", "_delta_log/0.json": "{}"}, ".", "a table of Delta Lake"),
    "Delta, below": ({"x/a.parquet": b"x", "x/_delta_log/0.json": "{}"}, ".", "of Delta Lake"),
    "Delta, a partition": ({"d=1/e=2/a.parquet": b"x", "_delta_log/0.json": "{}"}, "d=1/e=2",
                           "a table of Delta Lake"),
    "Delta, one file": ({"a.parquet": b"x", "_delta_log/0.json": "{}"}, "a.parquet",
                        "a table of Delta Lake"),
    "Iceberg": ({"data/a.parquet": b"x", "metadata/1.metadata.json": "{}"}, ".", "of Iceberg"),
    "Iceberg's data": ({"data/a.parquet": b"x", "metadata/1.metadata.json": "{}"}, "data",
                       "of Iceberg"),
    "Hudi": ({"a.parquet": b"x", ".hoodie/hoodie.properties": "x"}, ".", "of Hudi"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "path", "message"), BY_NAME.values(), ids=BY_NAME)
def test_it_is_refused_before_it_is_read(
    tmp_path: Path, files: Files, path: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        catalogue.identity(source(path=str(write(tmp_path, files) / path)))


def test_a_file_of_another_format_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": CSV, "README.txt": b"x", "data/metadata/x.csv": CSV})
    with pytest.raises(UsageError, match=r"README\.txt \(unknown\), .*a\.csv \(csv\); remove"):
        catalogue.format_of(source(path=str(tmp_path)))


def test_formats_are_told_by_names_in_capitals_too() -> None:
    expected = {"A.CSV.GZ": "csv", "a.b.Parquet": "parquet", "x.ndjson.zst": "jsonl", "csv": ""}
    assert {name: names.format_by_name(Path(name)) for name in expected} == expected


def test_files_are_named_one_by_one_only_where_others_lie_among_them(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": CSV, "b.csv": CSV, "_SUCCESS": b"", ".x.crc": b"x"})
    chosen = source(path=str(tmp_path))
    assert catalogue_files.spark_paths(chosen) == [f"file://{tmp_path}"]
    write(tmp_path, {"thumbs.db": b"x"})
    assert catalogue_files.spark_paths(chosen) == [f"file://{tmp_path}/{n}.csv" for n in "ab"]


@pytest.mark.parametrize("column", ["item_id", "title"])
def test_a_column_that_is_needed_can_not_be_left_out(column: str) -> None:
    with pytest.raises(ValueError, match=f"{column} can't be left out"):
        CatalogueSection(path="x", columns={column: ""})
