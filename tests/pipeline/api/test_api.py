"""The api of notebooks, by a run's tables, NumPy's exact search and the fastText library."""

import csv
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasttext as library
import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline import api
from pipeline.api import inputs, session
from pipeline.config import reading as config
from pipeline.errors import GateError, InputError, UsageError
from pipeline.store import run_records
from pipeline.store.store import Store
from tests.models.fasttext.files import Bin
from tests.pipeline.evaluation.test_evaluate import recall
from tests.pipeline.stages.test_python_workers import python_steps

pytestmark = pytest.mark.processes

K = 4


@dataclass(frozen=True)
class Shop:
    """A store with a published run `first`, and an experiment `second` with another k."""

    config: dict[str, Any]
    first: api.Run
    second: api.Run
    model: Path

    def rows(self, path: str | None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("api")
    rows = [
        (f"i{n:02d}", f"{'靴鞄皿'[n % 3]} {n % 5} 番 KH-{n % 7}00", "説明" * (n % 2), "abc"[n % 3])
        for n in range(60)
    ]
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("item_id", "title", "description", "category"), *rows])
        writer.writerow(("none", "<br>", "", "a"))
    model = Bin().write(folder / "model.bin")
    settings = {
        "store": {"path": folder / "store"},
        "catalogue": {"path": str(folder / "items.csv")},
        "model.path": model,
        "neighbors.k": K,
    }
    # The user's own, which is there afterwards.
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", "mine")
    first = api.run(settings, run_id="first", progress=False)
    second = api.run(settings, {"neighbors.k": K - 1}, run_id="second", progress=False)
    yield Shop(settings, first, second, model)
    # The user's session was used, and lives.
    assert session.find_session(config.from_mapping(settings)) is spark
    assert spark.range(3).count() == 3


def lists(rows: list[dict[str, Any]]) -> dict[str, list[tuple[str, float]]]:
    """Each item's neighbours, best first."""
    neighbours = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["rank"]):
        neighbours[row["item_id"]].append((row["similar_id"], row["score"]))
        assert row["rank"] == len(neighbours[row["item_id"]])
    return neighbours


def collected(frame: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in frame.collect()]


def nearest(
    vectors: dict[str, np.ndarray], queries: dict[str, np.ndarray], k: int
) -> dict[str, list[tuple[str, float]]]:
    """By definition: cosine in float64, rounded to float32, ties by id; no item is its own."""
    neighbours = {}
    for name, query in queries.items():
        scored = []
        for other, vector in vectors.items():
            if other != name:
                lengths = np.sqrt((query @ query) * (vector @ vector))
                scored.append((-np.float32(query @ vector / lengths), other))
        neighbours[name] = [(other, float(-score)) for score, other in sorted(scored)[:k]]
    return neighbours


def frame_of(spark: SparkSession, vectors: dict[str, Any]) -> DataFrame:
    rows = [(n, None if v is None else [float(x) for x in v]) for n, v in vectors.items()]
    return spark.createDataFrame(rows, "item_id string, vector array<float>").repartition(3)


def test_importing_the_api_starts_nothing() -> None:
    code = "import sys; from pipeline import api; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_a_run_publishes_and_an_experiment_does_not(shop: Shop, spark: SparkSession) -> None:
    store = Store.of(config.from_mapping(shop.config))
    latest = store.latest()
    assert latest is not None
    assert (shop.first.published, shop.second.published) == (True, False)
    assert (latest["version"], latest["path"]) == (shop.first.version, shop.first.path)
    assert shop.first.counts["items"] == 61
    assert shop.first.recall is not None
    assert shop.first.recall["value"] == 1
    assert set(shop.second.stages.values()) == {"done", "reused"}
    assert [run.run_id for run in run_records.list_runs(store)][-2:] == ["second", "first"]
    assert {len(of) for of in lists(shop.rows(shop.second.path)).values()} == {K - 1}
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") == "mine"


def test_what_the_gate_holds_back_is_an_error(shop: Shop) -> None:
    with pytest.raises(GateError, match="the table is held back"):
        api.run(shop.config, {"publish.max_without": 0.0}, publish=True, progress=False)
    with pytest.raises(UsageError, match="frobnicate is no stage"):
        api.run(shop.config, first="frobnicate", progress=False)
    with pytest.raises(UsageError, match="did you mean k"):
        api.run(shop.config, {"neighbors.kk": 3})


@pytest.mark.parametrize("kind", ["first", "LATEST", "version"])
def test_a_table_is_that_of_the_run(shop: Shop, kind: str) -> None:
    name = str(shop.first.version) if kind == "version" else kind
    expected = shop.rows(shop.first.path)
    table = api.table(shop.config, version=name, titles=True)
    assert table.columns == [*expected[0], "title", "similar_title"]
    rows = collected(table)
    assert lists(rows) == lists(expected)
    titles = {row["item_id"]: row["title"] for row in shop.rows(shop.first.tables["items"])}
    assert all(row["title"] == titles[row["item_id"]] for row in rows)
    assert all(row["similar_title"] == titles[row["similar_id"]] for row in rows)


def test_other_tables_come_by_name_and_unknown_ones_are_named(shop: Shop) -> None:
    assert api.table(shop.config, "short_lists").first()["item_id"] == "none"  # type: ignore[index]
    assert api.table(shop.config, "tokens", "second").count() == 61
    with pytest.raises(
        UsageError, match=r"nothing: no table of LATEST .* it has: details, e.*, items, "
    ):
        api.table(shop.config, "nothing")
    with pytest.raises(UsageError, match="nobody is no run or version"):
        api.table(shop.config, version="nobody")


def test_neighbours_of_some_items_come_with_titles(shop: Shop, spark: SparkSession) -> None:
    table = lists(shop.rows(shop.first.path))
    one = collected(api.similar_to(shop.config, "i07", k=2))
    assert [(row["similar_id"], row["score"]) for row in one] == table["i07"][:2]
    assert one[0]["title"] == "鞄 2 番 KH-000"
    assert list(one[0]) == ["item_id", "title", "rank", "similar_id", "similar_title", "score"]
    two = lists(collected(api.similar_to(shop.config, ["i01", "i50", "i01"])))
    assert two == {"i01": table["i01"], "i50": table["i50"]}
    frame = spark.createDataFrame([("i09",), ("nobody",)], "item_id string")
    assert lists(collected(api.similar_to(shop.config, frame))) == {"i09": table["i09"]}
    assert api.similar_to(shop.config, "none").count() == 0
    with pytest.raises(UsageError, match="items: nobody: not in the catalogue of LATEST"):
        api.similar_to(shop.config, ["i01", "nobody"])


def test_vectors_of_the_catalogue_are_the_embeddings_to_the_bit(shop: Shop) -> None:
    items = api.table(shop.config, "items")
    vectors = {row["item_id"]: row["vector"] for row in api.embed(items, shop.config).collect()}
    table = {row["item_id"]: row["vector"] for row in shop.rows(shop.first.tables["embeddings"])}
    assert vectors == table
    assert vectors["none"] is None
    assert python_steps(api.embed(items, shop.config)) == 1


def test_vectors_of_own_texts_are_fasttexts(shop: Shop, spark: SparkSession) -> None:
    api.run(shop.config, {"embed.method": "mean"}, run_id="mean", last="embed", progress=False)
    texts = spark.createDataFrame(
        [("x", "赤い靴 軽い"), ("y", "皿")], "item_id string, title string"
    )
    model = library.load_model(str(shop.model))
    vectors = {
        r["item_id"]: r["vector"] for r in api.embed(texts, shop.config, version="mean").collect()
    }
    for item, tokens in (("x", "赤い 靴 軽い"), ("y", "皿")):
        expected = model.get_sentence_vector(tokens)
        assert np.allclose(vectors[item], expected, atol=1e-3 * np.abs(expected).max())
    with pytest.raises(UsageError, match="items: column title is missing; the frame has: item_id"):
        api.embed(texts.select("item_id"), shop.config)


def test_a_worker_that_embeds_and_one_that_reads_are_in_two_tasks(shop: Shop) -> None:
    embedded = api.embed(api.table(shop.config, "items"), shop.config)
    plan = inputs.own_python_worker(embedded)._jdf.queryExecution().sparkPlan().toString()
    assert plan.index("Exchange hashpartitioning") < plan.index("MapInArrow")
    table = api.table(shop.config, "embeddings")
    assert inputs.own_python_worker(table) is table


@pytest.fixture(scope="module")
def vectors_by_id() -> dict[str, np.ndarray]:
    """Vectors that float16 holds, some of them equal."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 16)).astype(np.float16).astype(np.float64)
    rows[10:20] = rows[10]
    return {f"v{n:03d}": row for n, row in enumerate(rows)}


def test_neighbours_of_any_vectors_are_the_exact_ones(
    spark: SparkSession, vectors_by_id: dict[str, np.ndarray]
) -> None:
    all_vectors = vectors_by_id | {"tiny": vectors_by_id["v010"] * 2.0**-40}
    more = frame_of(spark, {**all_vectors, "null": None, "zero": np.zeros(16)})
    assert lists(collected(api.neighbors(more, 5))) == nearest(all_vectors, all_vectors, 5)
    # A list is searched as a whole where all are probed.
    settings = {"index.nlist": 6, "neighbors.nprobe": 6}
    vectors = frame_of(spark, vectors_by_id)
    probed = api.neighbors(vectors, 5, exact=False, settings=settings)
    assert lists(collected(probed)) == nearest(vectors_by_id, vectors_by_id, 5)


def test_queries_look_for_others_than_their_own_id(
    shop: Shop, spark: SparkSession, vectors_by_id: dict[str, np.ndarray]
) -> None:
    query_vectors = {"q": vectors_by_id["v003"], "v004": vectors_by_id["v004"]}
    vectors, queries = frame_of(spark, vectors_by_id), frame_of(spark, query_vectors)
    exact = lists(collected(api.neighbors(vectors, 3, queries)))
    assert exact == nearest(vectors_by_id, query_vectors, 3)
    assert exact["q"][0] == ("v003", 1.0)
    assert exact["v004"][0][0] != "v004"
    settings = {"index.nlist": 6, "neighbors.target_recall": 1.0}
    by_lists = api.neighbors(
        vectors, 3, queries, exact=False, config=shop.config, settings=settings
    )
    assert lists(collected(by_lists)) == exact
    (left,) = Path(shop.config["store"]["path"]).glob(".search-*")
    assert [folder.name for folder in left.iterdir()] == ["tables"]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([("a", [1.0, 2.0]), ("a", [2.0, 1.0])], "vectors: item_id a comes 2 times, not once"),
        ([("a", [1.0, 2.0]), ("b", [1.0])], "vectors have from 1 to 2 values, not one number"),
        ([("a", [1.0, float("nan")]), ("b", [1.0, 1.0])], "the vector of a holds values that are"),
        ([(None, [1.0, 2.0])], "vectors: 1 rows have no item_id"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(
    spark: SparkSession, vectors: list[Any], message: str
) -> None:
    frame = spark.createDataFrame(vectors, "item_id string, vector array<double>")
    with pytest.raises(UsageError, match=message):
        api.neighbors(frame)


def test_vectors_of_another_type_are_refused(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", "1 2")], "item_id string, vector string")
    with pytest.raises(UsageError, match="column vector is string, not array<float>"):
        api.neighbors(frame)


def test_evaluation_is_what_labels_say_by_hand(shop: Shop, spark: SparkSession) -> None:
    table = sorted(shop.rows(shop.first.tables["embeddings"]), key=lambda row: row["item_id"])
    vectors = np.array([row["vector"] or [np.nan] * len(table[0]["vector"]) for row in table])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = {row["item_id"]: row["category"] for row in shop.rows(shop.first.tables["items"])}
    expected = recall(vectors @ vectors.T, [items[row["item_id"]] for row in table], 5)
    figures = collected(api.evaluate(shop.config, ["category"], k=5, progress=False))
    recalls = [row for row in figures if row["measure"] == "label_recall"]
    assert [row["method"] for row in recalls] == ["current", "mean", "tfidf"]
    first = figures[0]
    assert first["value"] == pytest.approx(expected, abs=1e-9)
    assert (first["measure"], first["of"], first["k"]) == ("label_recall", "category", 5)
    assert figures[1]["difference"] == pytest.approx(figures[0]["value"] - figures[1]["value"])
    own = api.table(shop.config, "embeddings").join(
        api.table(shop.config, "items").select("item_id", "category"), "item_id"
    )
    pairs = spark.createDataFrame(
        [("i01", "i04", 1), ("i01", "i02", 0)], "a string, b string, match int"
    )
    of_vectors = collected(api.evaluate(own, "category", pairs, k=5, groups="category"))
    assert of_vectors[0] == figures[0] | {"difference": None}
    assert {row["measure"] for row in of_vectors[1:]} == {
        "label_recall", "pair_recall", "ndcg", "reciprocal_rank", "average_precision", "roc_auc",
        "best_f1", "threshold"
    }  # fmt: skip
    of_groups = [row for row in of_vectors if row["measure"] == "label_recall" and row["group"]]
    assert {(row["grouped_by"], row["group"]) for row in of_groups} == {
        ("category", name) for name in "abc"
    }
    weighted = sum(row["value"] * row["items"] for row in of_groups) / first["items"]
    assert weighted == pytest.approx(expected, abs=1e-9)
    with pytest.raises(UsageError, match="groups length: a frame of vectors has columns only"):
        api.evaluate(own, "category", groups=["length"])
    with pytest.raises(UsageError, match="against: a frame of vectors is measured alone"):
        api.evaluate(own, "category", against=shop.config)
    with pytest.raises(UsageError, match="give labels, pairs, or both"):
        api.evaluate(shop.config)
    with pytest.raises(InputError, match="a row has a None, b 'b', match 1"):
        api.evaluate(own, pairs=spark.createDataFrame([(None, "b", 1)], pairs.schema))


def test_a_diff_has_the_lists_that_differ(shop: Shop) -> None:
    before, after = (lists(shop.rows(run.path)) for run in (shop.first, shop.second))
    changes = {row["item_id"]: row for row in collected(api.diff(shop.config, "first", "second"))}
    assert set(changes) == set(before)
    row = changes["i07"]
    assert (row["change"], row["title"], row["overlap"]) == ("changed", "鞄 2 番 KH-000", 0.75)
    assert [(one["similar_id"], one["score"]) for one in row["before"]] == before["i07"]
    assert [(one["similar_id"], one["score"]) for one in row["after"]] == after["i07"]
    means = [np.mean([score for _, score in of["i07"]]) for of in (before, after)]
    assert row["score_shift"] == pytest.approx(means[1] - means[0])
    assert api.diff(shop.config, "second", "LATEST", k=K - 1).count() == 0
