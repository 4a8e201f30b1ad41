"""The whole chain on the sample catalogue, in one process, against outside oracles."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from models import fasttext as models_fasttext
from models import ship
from models.fasttext import Blend
from models.resident import LoadCounter
from pipeline.catalogue import readers
from pipeline.errors import GateError, InputError, StageError, UsageError
from pipeline.retrieval.quantiser import Quantiser
from pipeline.runs.record import Outcome
from pipeline.stages import NAMES
from pipeline.stages.embed import stage as embed
from pipeline.text.tokenize import TextSettings, Tokenizer
from tests.conftest import WriteCsv
from tests.pipeline.places import on_disk
from tests.pipeline.retrieval import oracle
from tests.pipeline.sample_shop import ITEMS, SAMPLES, SampleShop, copy_shop, head
from tests.pipeline.tables import read_rows

MEAN = "embed.method=mean"
NLIST, NPROBE = 9, 2
QUANTISED = ("index.exact_below=0", f"index.nlist={NLIST}")
Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shop(published_samples: Path, tmp_path_factory: pytest.TempPathFactory) -> SampleShop:
    """A store after one exact run over the first sample items."""
    return copy_shop(published_samples, tmp_path_factory.mktemp("shop") / "copy")


def embeddings(shop: SampleShop, outcome: Outcome | None = None) -> tuple[list[str], np.ndarray]:
    """Those of a run, or of the published one."""
    table = shop.published("embeddings")
    if outcome is not None:
        record = outcome.record("embed")
        assert record is not None
        table = pq.read_table(shop.store.table_path("embeddings", record.fingerprint)).to_pydict()
    some = [(i, v) for i, v in zip(table["item_id"], table["vector"], strict=True) if v is not None]
    return [item for item, _ in some], np.array([v for _, v in some], dtype=np.float32)


@pytest.fixture(scope="module")
def binary(shop: SampleShop) -> Path:
    """The library's own file of the model that the store's packed one was made of."""
    runner = shop.runner("model.engine=library", MEAN, publishing=False)
    record = runner.run("ingest", "train").record("train")
    assert record is not None
    return on_disk(shop.store.models.file(record))


def as_lists(table: dict[str, list[Any]]) -> dict[str, list[tuple[str, float]]]:
    lists: dict[str, list[tuple[str, float]]] = {}
    for item, rank, other, score in zip(*table.values(), strict=True):
        lists.setdefault(item, []).append((other, score))
        assert rank == len(lists[item])
    return lists


def test_rows_in_are_items_and_quarantined(shop: SampleShop) -> None:
    record = json.loads((next((shop.folder / "store" / "runs").iterdir()) / "run.json").read_text())
    counts = record["counts"]
    assert counts["rows_read"] == ITEMS == counts["items"] + counts["quarantined"]
    assert counts["quarantine_reasons"] == {"duplicate_item_id": 1}
    assert record["status"] == "published"
    assert record["recall"]["value"] == 1.0
    loads = record["counts"]["model_loads"]
    assert loads["most_in_one_process"] == 1
    assert 1 <= loads["loads"] == loads["processes"] <= 2


def test_embeddings_are_the_librarys_sentence_vectors_rounded_once(
    shop: SampleShop, binary: Path
) -> None:
    model = fasttext.load_model(str(binary))
    tokenizer = Tokenizer(TextSettings())
    items = shop.published("items")
    ids, vectors = embeddings(shop, shop.run(MEAN, last="embed"))
    by_item = dict(zip(ids, vectors, strict=True))
    assert len(by_item) == len(items["item_id"])
    for item, title, description in zip(
        items["item_id"], items["title"], items["description"], strict=True
    ):
        tokens = tokenizer.tokens(title) + tokenizer.tokens(description)
        expected = model.get_sentence_vector(" ".join(tokens))
        # One float16 step: the mean may round the other way in its last float32 bit.
        assert np.abs(by_item[item] - expected).max() <= np.abs(expected).max() * 2**-10
        assert np.array_equal(by_item[item], by_item[item].astype(np.float16).astype(np.float32))


def test_the_published_table_is_brute_force_over_the_published_vectors(shop: SampleShop) -> None:
    ids, vectors = embeddings(shop)
    table = shop.published()
    assert table["item_id"] == sorted(table["item_id"])
    everything = np.ones((len(ids), len(ids)), dtype=bool)
    assert as_lists(table) == oracle.neighbors(ids, vectors, 10, everything)


def test_a_second_run_makes_nothing_and_publishes_the_same(shop: SampleShop) -> None:
    before = shop.store.latest()
    outcome = shop.run()
    assert [status for _, status, _ in outcome.stages] == ["reused"] * len(NAMES)
    assert shop.store.latest() == before


def test_touching_the_catalogue_repeats_nothing(shop: SampleShop) -> None:
    shop.catalogue.touch()
    outcome = shop.run()
    assert [status for _, status, _ in outcome.stages] == ["reused"] * len(NAMES)


@pytest.mark.processes
def test_with_a_quantiser_the_probed_lists_decide(shop: SampleShop, spark: SparkSession) -> None:
    outcome = shop.run(*QUANTISED, f"neighbors.nprobe={NPROBE}", "publish.min_recall=0")
    index, neighbors = outcome.record("index"), outcome.record("neighbors")
    assert index is not None
    assert neighbors is not None
    lists = shop.store.read(spark, "lists", index.fingerprint)
    rows = lists.toPandas().set_index("item_id")
    ids, vectors = embeddings(shop)
    home = rows.loc[ids, "list"].to_numpy()
    assigned = Quantiser(np.load(on_disk(shop.store.quantisers.path(index.outputs["quantiser"]))))
    probes = assigned.probe(vectors, NPROBE)
    assert set(home.tolist()) == set(range(NLIST))
    assert probes.shape == (len(ids), NPROBE)
    assert np.array_equal(probes[:, 0], home)
    allowed = (home[None, None, :] == probes[:, :, None]).any(axis=1)
    expected = oracle.neighbors(ids, vectors, 10, allowed)
    assert as_lists(shop.published()) == expected
    share = np.mean(
        [
            len({o for o, _ in expected[i]} & {o for o, _ in best}) / 10
            for i, best in oracle.neighbors(ids, vectors, 10, np.ones_like(allowed)).items()
        ]
    )
    assert neighbors.outputs["recall"]["value"] == pytest.approx(share, abs=0.02)


@pytest.mark.slow
def test_the_gate_holds_back_a_table_of_low_recall(shop: SampleShop) -> None:
    shop.run()
    before = shop.store.latest()
    one_list = ("neighbors.nprobe=1", "neighbors.max_probes=1")
    runner = shop.runner(*QUANTISED, *one_list, "publish.min_recall=0.99")
    with pytest.raises(GateError, match=r"recall is 0\.\d+, at least 0\.99 is wanted"):
        runner.run("ingest", "publish")
    assert shop.store.latest() == before
    written = json.loads(
        (shop.store.run_path(runner.outcome.run_id) / "run.json").read_text(encoding="utf-8")
    )
    assert (written["status"], written["published"]) == ("held_back", None)


@pytest.mark.slow
def test_the_next_night_keeps_the_model_unless_told(shop: SampleShop, tmp_path: Path) -> None:
    first = shop.run().record("train")
    night2 = SampleShop(shop.folder, head(SAMPLES / "night2.csv", tmp_path / "night2.csv", ITEMS))
    outcome = night2.run()
    assert outcome.record("train") == first
    assert {name for name, status, _ in outcome.stages if status == "reused"} == {"train"}
    again = night2.run(retrain=True)
    second = again.record("train")
    assert second is not None
    assert second != first
    assert night2.run().record("train") == second
    # The tests that follow compare with models of the first night.
    assert shop.run(last="train", retrain=True).record("train") == first


def test_a_dry_run_says_what_would_run_and_does_nothing(shop: SampleShop) -> None:
    shop.run()
    plan = dict(shop.runner("neighbors.k=3").plan("ingest", "publish"))
    assert plan["index"].startswith("reuse ")
    assert plan["neighbors"] == "run: neighbors.k is 3, was 10"
    assert plan["publish"] == "run: after neighbors"
    plan = dict(shop.runner("rules.eligible=stock > 0").plan("ingest", "publish"))
    assert plan["neighbors"] == "run: rules.eligible is 'stock > 0', was ''"


def test_from_needs_what_comes_before_and_to_stops(shop: SampleShop) -> None:
    shop.run()
    with pytest.raises(UsageError, match="output of neighbors is not in the store"):
        shop.run("neighbors.k=4", first="publish")
    outcome = shop.run("neighbors.k=4", first="neighbors", last="neighbors")
    assert [status for _, status, _ in outcome.stages] == ["reused"] * 5 + ["done"]
    assert outcome.version is None


def test_a_given_model_is_checked_and_used(shop: SampleShop, binary: Path, tmp_path: Path) -> None:
    model_file = tmp_path / "given.bin"
    model_file.write_bytes(binary.read_bytes())
    outcome = shop.run(f"model.path={model_file}", last="embed")
    record = outcome.record("train")
    assert record is not None
    assert record.counts["source"] == str(model_file)
    model_file.write_bytes(model_file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"given\.bin"):
        shop.run(f"model.path={model_file}")


def test_a_given_model_gets_the_catalogues_statistics_and_keeps_them(
    shop: SampleShop, binary: Path, tmp_path: Path
) -> None:
    model_file = tmp_path / "given.bin"
    model_file.write_bytes(binary.read_bytes())
    record = shop.run(f"model.path={model_file}", last="train").record("train")
    assert record is not None
    packed = on_disk(shop.store.models.file(record))
    fewer = head(SAMPLES / "night1.csv", tmp_path / "fewer.csv", ITEMS - 100)
    smaller = (f"catalogue.path={fewer}", "publish.min_rows=0")
    other = shop.run(f"model.path={model_file}", *smaller, last="train")
    assert other.record("train") == record
    model = models_fasttext.load(packed)
    assert isinstance(model, models_fasttext.Embedder)
    assert model.statistics is not None
    assert model.statistics.documents == record.counts["sampled_items"]
    # One that carries them already is taken as it is.
    copy = tmp_path / "other.safetensors"
    copy.write_bytes(packed.read_bytes())
    carried = shop.run(f"model.path={copy}", *smaller, last="train")
    again = carried.record("train")
    assert again is not None
    assert again.outputs["sha256"] == record.outputs["sha256"]


def test_the_librarys_engine_gives_the_same_table(shop: SampleShop) -> None:
    ids, mapped = embeddings(shop, shop.run(MEAN, last="embed"))
    again, vectors = embeddings(shop, shop.run(MEAN, "model.engine=library", last="embed"))
    assert again == ids
    assert np.abs(mapped - vectors).max() <= np.abs(mapped).max() * 2**-10


@pytest.mark.parametrize("way", [None, Blend()])
def test_embeddings_do_not_depend_on_partitions(
    shop: SampleShop, spark: SparkSession, way: Blend | None
) -> None:
    record = shop.run(last="train").record("train")
    assert record is not None
    path = on_disk(shop.store.models.file(record))
    handle = ship(spark.sparkContext, path, kind="fasttext")
    tokenizer = Tokenizer(TextSettings())
    items = shop.published("items")
    texts = [
        [" ".join(tokenizer.tokens(text)) for text in both]
        for both in zip(items["title"], items["description"], strict=True)
    ]
    kind = "array<string>" if way else "string"
    rows = list(zip(items["item_id"], texts if way else [text[0] for text in texts], strict=True))
    frame = spark.createDataFrame(rows, f"item_id string, texts {kind}")
    counter = LoadCounter(spark.sparkContext)
    results = [
        sorted(
            embed.embed_rows(frame.repartition(n), handle, counter, way)
            .table("embeddings")
            .collect()
        )
        for n in (1, 7)
    ]
    assert results[0] == results[1]
    assert counter.summary()["most_in_one_process"] <= 1


def test_a_packed_model_of_other_rules_is_refused(
    shop: SampleShop, binary: Path, tmp_path: Path
) -> None:
    packed = models_fasttext.pack(binary, tmp_path, text_fingerprint="other")
    with pytest.raises(InputError, match="its text fingerprint is other"):
        shop.run(f"model.path={packed}")


def test_a_damaged_model_in_the_store_stops_the_run(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    shop = SampleShop(tmp_path, write_csv([("a", "赤い靴", ""), ("b", "青い靴", "")]))
    shop.run(last="train")
    file = next((tmp_path / "store" / "models").glob("*/model.safetensors"))
    file.write_bytes(b"x")
    with pytest.raises(StageError, match=r"another sha256.*run: nitamono train"):
        shop.run(first="embed")
    shop.run(first="train", last="train")
    assert shop.run(first="embed", last="embed").record("embed") is not None


@pytest.mark.parametrize(
    ("rows", "k", "expected"),
    [
        ([("a", "赤い靴", "")], 3, {"a": (0, "few_items")}),
        (
            [("a", "赤い靴", ""), ("b", "靴", ""), ("c", "<br>", "&nbsp;")],
            3,
            {"a": (1, "few_items"), "b": (1, "few_items"), "c": (0, "no_tokens")},
        ),
    ],
    ids=["one item", "k above the catalogue, and no token"],
)
def test_items_short_of_neighbours_are_listed_with_the_reason(
    spark: SparkSession,
    tmp_path: Path,
    write_csv: WriteCsv,
    rows: list[tuple[str, str, str]],
    k: int,
    expected: dict[str, tuple[int, str]],
) -> None:
    shop = SampleShop(tmp_path, write_csv(rows))
    outcome = shop.run(f"neighbors.k={k}", last="neighbors")
    record = outcome.record("neighbors")
    assert record is not None
    tables = {
        name: read_rows(shop.store, name, record.version(name))
        for name in ("short_lists", "neighbors")
    }
    short = {row["item_id"]: (row["neighbors"], row["reason"]) for row in tables["short_lists"]}
    assert short == expected
    counts = {row["item_id"]: len(row["neighbors"]) for row in tables["neighbors"]}
    assert counts == {item: count for item, (count, why) in expected.items() if why != "no_tokens"}


def test_a_catalogue_without_a_valid_row_publishes_nothing(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    shop = SampleShop(tmp_path, write_csv([("", "靴", ""), ("a", "", "")]))
    with pytest.raises(InputError, match=r"among 2 \(no_item_id: 1, the row has no id; no_"):
        shop.run()
    assert shop.store.latest() is None


def test_an_analysts_model_does_not_replace_the_nights(shop: SampleShop) -> None:
    nightly = shop.run(last="train").record("train")
    shop.run("model.dim=10", last="train")
    assert shop.run(last="train").record("train") == nightly


def test_a_catalogue_without_a_token_publishes_nothing(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    shop = SampleShop(tmp_path, write_csv([("a", "<br>", ""), ("b", "&nbsp;", "")]))
    with pytest.raises(InputError, match="no item's text leaves a token"):
        shop.run()
    assert shop.store.latest() is None


def test_a_catalogue_that_changes_while_it_is_read_is_refused(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = SampleShop(tmp_path, head(SAMPLES / "night1.csv", tmp_path / "night1.csv", 20))
    read = readers.read

    def then_it_grows(*arguments: Any) -> Any:
        frame = read(*arguments)
        with shop.catalogue.open("ab") as file:
            file.write(b"\n")
        return frame

    monkeypatch.setattr(readers, "read", then_it_grows)
    with pytest.raises(InputError, match="changed while it was read; run again"):
        shop.run()
    assert list((shop.store.root / "tables" / "items").iterdir()) == []
    assert list((shop.store.root / "stages").rglob("*.json")) == []


def test_a_killed_python_worker_is_told_of_with_the_setting_to_change(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killing(*_: object) -> Callable[[Iterator[Any]], Iterator[Any]]:
        def run(batches: Iterator[Any]) -> Iterator[Any]:
            os.kill(os.getpid(), signal.SIGKILL)
            yield from batches

        return run

    shop = SampleShop(tmp_path, write_csv([("a", "赤い靴", ""), ("b", "青い靴", "")]))
    monkeypatch.setattr(embed, "_embed_task", killing)
    with pytest.raises(StageError, match="embed failed: a Python worker was killed") as raised:
        shop.run(last="embed")
    assert "memory ran out" in str(raised.value)
