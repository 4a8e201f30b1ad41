"""Answers of query, compared with the lists of a run that includes the item."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError, UsageError
from pipeline.query import questions
from pipeline.query.answer import Answer, Answerer
from tests.models.conftest import BUCKET, client
from tests.pipeline.conftest import InProcess
from tests.pipeline.shop import K, Shop
from tests.s3.proxy import Proxy


def answers(shop: Shop, run_id: str, path: Path, k: int | None = None) -> list[Answer]:
    answerer, section = Answerer(shop.published(run_id), shop.config(), k), shop.config().catalogue
    return [a for batch in questions.read(path, section, {}) for a in answerer.answer(batch)]


def pairs(answer: Answer) -> list[tuple[str, float | None]]:
    return [(one.similar_id, one.score) for one in answer.neighbours]


@pytest.mark.parametrize("run_id", ["exact", "rules"])
def test_an_item_that_was_left_out_gets_the_list_of_the_batch_that_includes_it(
    shop: Shop, run_id: str
) -> None:
    replies = answers(shop, run_id, shop.write("questions.csv", shop.left))
    expected = shop.lists(f"{run_id}_with")
    new = {item.item_id for item in shop.left}
    compared = 0
    for item, answer in zip(shop.left, replies, strict=True):
        assert answer.item_id == item.item_id
        # In the batch those that were left out together are in each other's lists.
        batch = [pair for pair in expected.get(item.item_id, []) if pair[0] not in new]
        assert pairs(answer)[: len(batch)] == batch
        if run_id == "rules":
            assert len(pairs(answer)) == len(batch)
        compared += len(batch)
    assert compared > K * len(shop.left) / 3


def test_an_item_of_the_catalogue_gets_its_published_list_and_never_itself(shop: Shop) -> None:
    with (shop.folder / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for run_id in ("exact", "rules"):
        replies = answers(shop, run_id, shop.folder / "catalogue.csv")
        assert {a.item_id: pairs(a) for a in replies if pairs(a)} == shop.lists(run_id)
        assert len(replies) == len(rows)


def test_more_neighbours_than_are_published_can_be_asked_for(shop: Shop) -> None:
    path = shop.write("questions.csv", shop.left[1:3])
    few, many = answers(shop, "exact", path), answers(shop, "exact", path, 3 * K)
    assert [len(pairs(answer)) for answer in many] == [3 * K, 3 * K]
    assert [pairs(answer)[:K] for answer in many] == [pairs(answer) for answer in few]


def test_items_without_an_answer_say_why(shop: Shop) -> None:
    (excluded, *_) = answers(shop, "rules", shop.write("questions.csv", shop.left[:1]))
    assert (excluded.reason, pairs(excluded)) == ("not_asked", [])
    path = shop.folder / "odd.jsonl"
    path.write_text(
        '{"title": "！？"}\n\n{"title": null, "description": ""}\n{"title": "NULL"}\n',
        encoding="utf-8",
    )
    marks, empty, placeholder = answers(shop, "exact", path)
    assert (empty.row, empty.reason, pairs(empty)) == (2, "no_tokens", [])
    assert (placeholder.title, placeholder.reason) == ("NULL", "no_tokens")
    assert marks.reason == (None if pairs(marks) else "no_vector")
    lonely = answers(shop, "rules", shop.write("questions.csv", shop.left[1:]))
    assert {a.reason for a in lonely if len(pairs(a)) < K} == {"rules"}


def test_a_file_of_any_format_gives_what_single_texts_give(
    shop: Shop, in_process: InProcess
) -> None:
    rows = [asdict(item) for item in shop.left]
    in_csv = shop.write("questions.csv", shop.left)
    in_json, in_parquet = shop.folder / "questions.jsonl", shop.folder / "questions.parquet"
    in_json.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), in_parquet)
    base = ("query", "--config", str(shop.file), "--json")
    by_file = [
        [json.loads(line) for line in in_process(*base, "--file", str(path)).splitlines()]
        for path in (in_csv, in_json, in_parquet)
    ]
    assert by_file[0] == by_file[1] == by_file[2]
    assert [line["item_id"] for line in by_file[0]] == [row["item_id"] for row in rows]
    for row, line in zip(rows[:3], by_file[0], strict=False):
        arguments = ("--title", row["title"], "--description", row["description"])
        single = json.loads(in_process(*base, *arguments))
        assert single["neighbours"] == line["neighbours"]
        assert len(single["neighbours"]) == K
    shown = in_process(*base[:-1], "--title", rows[0]["title"], "--k", "2").splitlines()
    assert len(shown) == 3
    assert shown[1].split()[2] in {line["similar_id"] for line in by_file[0][0]["neighbours"]}


def test_only_lists_details_and_model_are_read_and_spark_is_not_there(
    shop: Shop, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(shop.folder / "store", store)
    (expected,) = answers(shop, "rules", shop.write("questions.csv", shop.left[2:3]))
    needed = {"candidates", "details"}
    for table in (store / "tables").iterdir():
        if table.name not in needed:
            for version in table.glob("version=*"):
                shutil.rmtree(version)
    code = (
        "import sys\nfrom pipeline.cli.main import execute\nexecute(sys.argv[1:])\n"
        "assert not {'pyspark', 'py4j', 'pandas'} & sys.modules.keys()\n"
    )
    item = asdict(shop.left[2])
    columns = [f"--column={name}={item[name]}" for name in ("category", "brand", "group_id",
                                                           "price", "stock")]  # fmt: skip
    arguments = ["query", "--config", str(shop.file), "--set", f"store.path={store}", "--json",
                 "--title", item["title"], "--description", item["description"],
                 *columns]  # fmt: skip
    latest = json.loads((store / "tables/similar_items/LATEST").read_text())
    rules = {"version": shop.published("rules").version, "run_id": "rules", "path": ""}
    (store / "tables/similar_items/LATEST").write_text(json.dumps(latest | rules))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    content = json.loads(done.stdout)
    assert content["run_id"] == "rules"
    ids = [one["similar_id"] for one in content["neighbours"]]
    assert ids == [item_id for item_id, _ in pairs(expected)]


def test_a_store_in_an_object_store_gives_the_same(
    shop: Shop, proxy: Proxy, in_process: InProcess
) -> None:
    root, s3 = shop.folder / "store", client(proxy.url)
    for path in (path for path in root.rglob("*") if path.is_file()):
        s3.upload_file(str(path), BUCKET, f"shop/{path.relative_to(root)}")
    for path in root.glob("tables/*/version=*"):
        pointer, version = json.dumps({"folder": path.name}), path.name.removeprefix("version=")
        key = f"shop/tables/{path.parent.name}/_whole/{version}.json"
        s3.put_object(Bucket=BUCKET, Key=key, Body=pointer.encode())
    title, sets = shop.left[1].title, {"store.path": f"s3a://{BUCKET}/shop"}
    sets |= {"s3.endpoint": proxy.url, "s3.region": "us-east-1"}
    options = [part for name, value in sets.items() for part in ("--set", f"{name}={value}")]
    base = ("--config", str(shop.file), "--json")
    here = in_process("query", "--title", title, *base)
    assert in_process("query", "--title", title, *base, *options) == here
    item_id = json.loads(here)["neighbours"][0]["similar_id"]
    here = in_process("inspect", item_id, *base)
    assert in_process("inspect", item_id, *base, *options) == here


def test_a_version_that_is_not_whole_is_told_of(shop: Shop, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(shop.folder / "store", store)
    moved = Shop.__new__(Shop)
    moved.__dict__ |= shop.__dict__
    moved.store = type(shop.store)(str(store))
    shutil.rmtree(store / "tables" / "details")
    with pytest.raises(UsageError, match=r"no table details.*run again"):
        Answerer(moved.published("exact"), shop.config(), None)
    shutil.copytree(shop.folder / "store/tables/details", store / "tables/details")
    shutil.rmtree(store / "tables" / "lists")
    path = shop.write("questions.csv", shop.left[:1])
    with pytest.raises(UsageError, match="table lists is not in the store: nitamono gc"):
        answers(moved, "exact", path)


def test_a_file_is_read_as_catalogues_are(tmp_path: Path) -> None:
    def read(name: str, content: bytes, **settings: Any) -> list[tuple[str | None, ...]]:
        (tmp_path / name).write_bytes(content)
        section = CatalogueSection(path="x", **settings)
        (batch,) = questions.read(tmp_path / name, section, {})
        assert batch["row"].to_pylist() == list(range(1, batch.num_rows + 1))
        columns = (batch[name].to_pylist() for name in ("item_id", "title", "description"))
        return list(zip(*columns, strict=True))

    shoe, bag = ("a", "赤い靴", None), ("b", "鞄", "x")
    text = 'item_id;title;description\na;"赤い靴"\n\nb;鞄;x\n'
    settings = {"delimiter": ";", "encoding": "Shift_JIS"}
    assert read("a.csv", text.encode("cp932"), **settings) == [shoe, bag]
    settings["encoding"] = "UTF-16"
    assert read("b.csv", text.replace("\n", "\r").encode("utf-16"), **settings) == [shoe, bag]
    tsv = 'item_id\ttitle\tdescription\nc\t"靴\t""\nd\t靴\t"x"\n'
    assert read("c.TSV", tsv.encode()) == [("c", '"靴', '""'), ("d", "靴", '"x"')]
    assert read("d.tsv", tsv.replace('"靴', "靴").encode(), quote='"') == [
        ("c", "靴", ""),
        ("d", "靴", "x"),
    ]
    lines = '{"item_id": "a", "title": ["赤い靴"]}\r{"item_id": "b", "title": "鞄", "x": "x"}\r'
    columns = {"description": "x"}
    assert read("e.jsonl", lines.encode("utf-16"), encoding="UTF-16", columns=columns) == [
        shoe,
        bag,
    ]
    binary = {"item_id": [b"a"], "title": [b"\xff"], "description": [["x", "y"]]}
    pq.write_table(pa.table(binary), tmp_path / "f.parquet")
    content = (tmp_path / "f.parquet").read_bytes()
    assert read("f.parquet", content) == [("a", "\ufffd", "x y")]
    assert read("f.parquet", content, columns={"description": ""}) == [("a", "\ufffd", None)]
    for line in ('{"title": "a", "title": "b"}', '{"title": "a"}{"title": "b"}'):
        with pytest.raises(InputError, match="line 1: no JSON"):
            read("g.jsonl", line.encode())
    with pytest.raises(InputError, match=r"is not UTF-8 .*set catalogue\.encoding"):
        read("h.csv", "title\n赤い靴\n".encode("cp932"))


def test_what_can_not_be_asked_is_told_of(shop: Shop, tmp_path: Path) -> None:
    section = CatalogueSection(path="x")
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"title": "a"}\n{"title": \n', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: no JSON"):
        list(questions.read(odd, section, {}))
    odd = tmp_path / "odd.csv"
    odd.write_text("item_id,title\n1,a\n2,b,c\n", encoding="utf-8")
    with pytest.raises(InputError, match="Row #3"):
        list(questions.read(odd, section, {}))
    odd.write_text("item_id,name\n1,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="neither title nor description; its columns"):
        list(questions.read(odd, section, {}))
    (batch,) = questions.read(odd, CatalogueSection(path="x", columns={"title": "name"}), {})
    assert batch["title"].to_pylist() == ["a"]
    with pytest.raises(UsageError, match="NAME=VALUE"):
        questions.single("a", None, ["colour=red"], {})
    with pytest.raises(UsageError, match="price has to be a number"):
        questions.single("a", None, ["price=cheap"], {})


def test_a_text_fingerprint_that_can_not_be_had_is_told_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.text.tokenize.RULES_VERSION", 0)
    with pytest.raises(UsageError, match=r"text fingerprint .* can't be had here"):
        Answerer(shop.published("exact"), shop.config(), None)
