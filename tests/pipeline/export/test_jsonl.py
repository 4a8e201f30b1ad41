"""Exports to JSON Lines."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from models.stores import S3Options, StoreOptions
from pipeline.export.jsonl import lines as jsonl_lines
from pipeline.export.jsonl import write
from pipeline.export.jsonl.layout import Layout
from pipeline.storage.object_path import ObjectPath
from pipeline.store import lock
from pipeline.store.store import Store
from tests.models.conftest import BUCKET
from tests.pipeline.export.shops import Shop, make_rows, with_filled
from tests.pipeline.places import on_disk
from tests.s3.proxy import Proxy

TEXT = ("title", "description", "category", "group_id", "brand", "locale", "image_url")
ITEMS = pa.schema(
    {name: pa.string() for name in ("item_id", *TEXT)}
    | {name: pa.float64() for name in ("price", "stock")}
)
BAD = pa.schema({"item_id": pa.string(), "reasons": pa.list_(pa.string()), "row": pa.string()})
SHORT = pa.schema({"item_id": pa.string(), "neighbors": pa.int32(), "reason": pa.string()})
LISTED = [f"i{number:02d}" for number in range(40)]
QUARANTINED = [
    (None, ["no_item_id", "no_text"], '{"sku":null,"n":1}'),
    ("i01", ["duplicate_item_id"], '{"sku":"i01","title":"二つ目"}'),
    ("i01", ["duplicate_item_id"], '{"sku":"i01","title":"二つ目"}'),
    (None, ["unreadable_row"], '{"sku": "half\t"'),
]


def put(
    store: Store, table: str, version: str, rows: list[dict[str, Any]], schema: pa.Schema
) -> None:
    folder = on_disk(store.table_path(table, version))
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "part-00000.parquet")
    store.set_latest(table, version, "run-1")


def publish(shop: Shop, version: str, number: int) -> None:
    """Publish 40 lists, an item without one, an item that was not searched for, and bad rows."""
    shop.publish(version, with_filled(make_rows(LISTED, number, k=3)), files=3)
    items = [{"item_id": item, "title": f'{item} "靴"\n', "price": 1.5} for item in LISTED]
    items += [{"item_id": "none", "title": "?"}, {"item_id": "unasked", "title": "x"}]
    put(shop.store, "items", version, items, ITEMS)
    bad = [dict(zip(BAD.names, row, strict=True)) for row in QUARANTINED]
    put(shop.store, "quarantine", version, bad, BAD)
    short = [
        {"item_id": "none", "neighbors": 0, "reason": "no_tokens"},
        {"item_id": "i03", "neighbors": 3, "reason": "few_items"},
    ]
    put(shop.store, "short_lists", version, short, SHORT)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def export(shop: Shop, out: Path, *arguments: str) -> dict[str, Any]:
    result = shop.export("--to", "jsonl", "--out", str(out), "--json", *arguments)
    return dict(result.json())


def read(out: Path) -> list[dict[str, Any]]:
    """The objects in the files that the manifest names; checks the manifest's sums."""
    manifest = json.loads((out / "manifest.json").read_text())
    objects = []
    for file in manifest["files"]:
        content = (out / manifest["folder"] / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["bytes"] == len(content)
        text = gzip.decompress(content) if file["name"].endswith(".gz") else content
        lines = text.decode().split("\n")
        assert lines.pop() == ""
        assert len(lines) == file["items"] + file["quarantined"]
        objects += [json.loads(line) for line in lines]
    return objects


def files(out: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of the files in the folder that the manifest names."""
    folder = out / json.loads((out / "manifest.json").read_text())["folder"]
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("part-*")
    }


def test_every_item_and_every_bad_row_is_one_object(
    spark: SparkSession, shop: Shop, out: Path
) -> None:
    publish(shop, "v1", 1)
    summary = export(shop, out, "--files", "3")
    objects = read(out)
    assert all(list(line) == ["input", "output", "error"] for line in objects)
    items = {
        line["input"]["item_id"]: line for line in objects if "item_id" in (line["input"] or {})
    }
    assert len(items) == len(LISTED) + 2
    assert len(objects) == len(LISTED) + 2 + len(QUARANTINED)
    empty = dict.fromkeys(ITEMS.names)
    neighbours = [
        {"similar_id": f"i07-1-{n}", "score": s} for n, s in ((1, 61.5), (2, 60.5), (3, 59.6))
    ]
    for pair in items["i07"]["output"]["neighbours"]:
        pair["score"] = round(pair["score"] * 1000, 1)
    assert items["i07"] == {
        "input": empty | {"item_id": "i07", "title": 'i07 "靴"\n', "price": 1.5},
        "output": {"neighbours": neighbours},
        "error": None,
    }
    assert items["i03"]["error"] is None
    assert [pair["score"] is None for pair in items["i03"]["output"]["neighbours"]] == [0, 1, 1]
    assert items["none"] == {
        "input": empty | {"item_id": "none", "title": "?"}, "output": None, "error": "no_tokens",
    }  # fmt: skip
    assert items["unasked"]["error"] == "not_asked"
    bad = [line for line in objects if "item_id" not in line["input"]]
    assert sorted(bad, key=str) == sorted(
        [
            {"input": {"sku": None, "n": 1}, "output": None, "error": "no_item_id, no_text"},
            *[{"input": {"sku": "i01", "title": "二つ目"}, "output": None,
               "error": "duplicate_item_id"}] * 2,
            {"input": '{"sku": "half\t"', "output": None, "error": "unreadable_row"},
        ],
        key=str,
    )  # fmt: skip
    assert (summary["items"], summary["rows"], summary["files"]) == (42, 120, 3)
    # The same table makes the same files again, and the same content when it is compressed.
    first = files(out)
    assert len(first) == 3
    assert export(shop, out, "--files", "3", "--again")["done"] == "exported"
    assert {name: content for name, (content, _) in files(out).items()} == {
        name: content for name, (content, _) in first.items()
    }
    export(shop, out, "--files", "3", "--gzip")
    decompressed = {name: gzip.decompress(content) for name, (content, _) in files(out).items()}
    assert decompressed == {f"{name}.gz": content for name, (content, _) in first.items()}


def test_an_interrupted_export_is_continued_and_readers_see_the_old_version(
    spark: SparkSession, shop: Shop, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, "v1", 1)
    export(shop, out, "--files", "4")
    before = read(out)
    publish(shop, "v2", 2)
    complete = shop.folder / "complete"
    export(shop, complete, "--files", "4")
    # As if killed after two of four files: the others have no notes, one of them is partial.
    export(shop, out, "--files", "4")
    folder = out / "version=v2-4"
    for number in (1, 3):
        (folder / "_files" / f"part-0000{number}.jsonl.json").unlink()
    (folder / "part-00003.jsonl").write_text('{"half')
    (folder / ".part-00001.jsonl.left").write_text("x")
    manifest = out / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "folder": "version=v1-4"}))
    times = {n: (folder / f"part-0000{n}.jsonl").stat().st_mtime_ns for n in (0, 2)}
    assert len(before) == 46
    summary = export(shop, out, "--files", "4")
    assert summary["files_copied"] == 2
    assert {n: (folder / f"part-0000{n}.jsonl").stat().st_mtime_ns for n in (0, 2)} == times
    assert not list(folder.glob(".*"))
    assert sorted(map(str, read(out))) == sorted(map(str, read(complete)))
    assert export(shop, out, "--files", "4")["done"] == "already"


def test_files_that_lack_a_row_are_not_published(
    spark: SparkSession, shop: Shop, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, "v1", 1)
    export(shop, out, "--files", "2")
    before = read(out)
    publish(shop, "v2", 2)
    all_lines = jsonl_lines.lines
    with monkeypatch.context() as patched:
        patched.setattr(
            jsonl_lines, "lines", lambda *a: all_lines(*a).where("line not like '%i07%'")
        )
        result = shop.export("--to", "jsonl", "--out", str(out), "--files", "2")
    assert result.code == 5
    assert "'items': 41, 'quarantined': 4, 'neighbors': 117}, not {'items': 42" in result.last_line
    assert read(out) == before
    export(shop, out, "--files", "2")
    assert len(read(out)) == 46
    assert read(out) != before


def test_older_versions_are_removed_and_other_folders_stay(
    spark: SparkSession, shop: Shop, out: Path
) -> None:
    other = out / "version=other"
    other.mkdir(parents=True)
    for number in (1, 2, 3):
        publish(shop, f"v{number}", number)
        export(shop, out, "--files", "1")
    assert sorted(path.name for path in out.glob("version=*")) == [
        "version=other", "version=v2-1", "version=v3-1",
    ]  # fmt: skip


def test_two_at_once_are_kept_apart(shop: Shop, out: Path) -> None:
    publish(shop, "v1", 1)
    with lock.hold_folder(out / "_locks", "another", "the folder"):
        result = shop.export("--to", "jsonl", "--out", str(out))
    assert result.code == 5
    assert f"the folder {out} is in use by another" in result.last_line
    assert not (out / "manifest.json").exists()


def test_a_version_whose_items_are_gone_is_refused(shop: Shop, out: Path) -> None:
    shop.publish("v1", make_rows(LISTED, 1))
    result = shop.export("--to", "jsonl", "--out", str(out))
    assert (result.code, "the tables items, quarantine, short_lists" in result.last_line) == (
        2,
        True,
    )
    assert shop.export("--to", "jsonl").code == 2


def test_a_folder_in_an_object_store_holds_the_same_files(
    spark: SparkSession, shop: Shop, out: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, "v1", 1)
    export(shop, out, "--files", "2")

    def write_here(rows: DataFrame, layout: Layout) -> None:
        # The session's workers were started without the credentials.
        write.write_batches(iter(rows.toArrow().to_batches()), layout)

    monkeypatch.setattr(write, "write_files", write_here)
    url = f"s3a://{BUCKET}/export"
    reach = ("--set", f"s3.endpoint={proxy.url}", "--set", "s3.region=us-east-1")
    result = shop.export("--to", "jsonl", "--out", url, "--files", "2", "--json", *reach)
    assert result.json()["folder"] == f"{url}/version=v1-2"
    target = ObjectPath.parse(url, StoreOptions(S3Options(proxy.url, "us-east-1")))
    manifest = json.loads((target / "manifest.json").read_text())
    folder = target / manifest["folder"]
    assert {file["name"]: (folder / file["name"]).read_bytes() for file in manifest["files"]} == {
        name: content for name, (content, _) in files(out).items()
    }
    # The lock in the object store is released, and the version is recognised.
    again = shop.export("--to", "jsonl", "--out", url, "--files", "2", *reach)
    assert "nothing to do" in again.out
