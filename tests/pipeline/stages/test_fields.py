"""Fields: a brand and a category whose words are part of an item's vector, from night to answer."""

import csv
import io
import json
import random
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from data_samples.make_samples import Item, catalogue
from models import embedder
from models.fasttext import BlendEmbedder
from pipeline import api
from pipeline.config import reading as config
from pipeline.errors import InputError
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.report.sample import read_sample
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.conftest import InProcess
from tests.pipeline.tables import read_rows

ITEMS = 120
_TOML = """
[store]
path = "store"
[catalogue]
path = "items.csv"
columns = { group_id = "", maker = "brand" }
[model]
epoch = 2
dim = 10
min_count = 1
[neighbors]
k = 5
[publish]
max_churn = 1
min_recall = 0
min_rows = 0
min_coverage = 0
max_without = 1
"""
_FIELDS = """
[[embed.field]]
column = "brand"
weight = 0.5
[[embed.field]]
column = "category"
"""


@dataclass
class Shop:
    """A small shop."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "nitamono.toml"

    @property
    def store(self) -> Store:
        return Store(str(self.folder / "store"))

    def run(self, items: list[Item], text: str = _TOML + _FIELDS, **kwargs: Any) -> Outcome:
        self.file.write_text(text, encoding="utf-8")
        with (self.folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, asdict(items[0]).keys())
            writer.writeheader()
            writer.writerows(asdict(item) for item in items)
        settings = config.load(self.file, (), {})
        runner = Runner(settings, new_run_id(), Progress(io.StringIO()), **kwargs)
        return runner.run("ingest", "publish")

    def rows(self, outcome: Outcome, table: str, stage: str) -> dict[str, dict[str, Any]]:
        record = outcome.record(stage)
        assert record is not None
        return {row["item_id"]: row for row in read_rows(self.store, table, record.version(table))}


def items() -> list[Item]:
    made = catalogue(random.Random(4), ITEMS)  # noqa: S311 - sample data
    return [replace(item, brand="" if n % 10 == 0 else item.brand) for n, item in enumerate(made)]


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Outcome]:
    """A shop after its first night."""
    shop = Shop(tmp_path_factory.mktemp("fields"))
    return shop, shop.run(items())


def test_vectors_are_the_models_of_all_fields_tokens(first: tuple[Shop, Outcome]) -> None:
    shop, outcome = first
    tokens = shop.rows(outcome, "tokens", "tokenize")
    vectors = shop.rows(outcome, "embeddings", "embed")
    published = Published.of(shop.store)
    assert published.blend is not None
    assert published.blend.field_weights == (0.5, 0.3)
    model = embedder.load_shipped(published.model(), None, published.blend)
    assert isinstance(model, BlendEmbedder)
    names = ("title_tokens", "description_tokens", "brand_tokens", "category_tokens")
    by_brand = [vectors[item]["half"] for item in sorted(tokens) if tokens[item]["brand_tokens"]]
    assert len(by_brand) == ITEMS * 9 // 10
    for item in sorted(tokens)[:20]:
        row = tokens[item]
        assert any(token.startswith(">") for token in row["category_tokens"].split())
        title, *others = (row[name].split() for name in names)
        words = [token for token in title if token not in " ".join(model.phrases).split()]
        columns = [pa.array([one], pa.list_(pa.string())) for one in (words, *others)]
        expected = model.embed_fields(*columns)[0].astype(np.float16)
        assert vectors[item]["half"] == expected.tobytes()
        assert vectors[item]["tokens"] == sum(map(len, (words, *others)))


def test_a_question_with_an_items_columns_has_its_vector_and_its_list(
    first: tuple[Shop, Outcome], in_process: InProcess
) -> None:
    shop, outcome = first
    vectors = shop.rows(outcome, "embeddings", "embed")
    settings = config.load(shop.file, (), {})
    answerer = Answerer(Published.of(shop.store), settings, None)
    further = answerer.published.further
    batches = list(questions.read(shop.folder / "items.csv", settings.catalogue, further))
    for batch in batches:
        texts = answerer._embedder.without_placeholders(batch)
        rows = answerer._embedder.vectors(texts, answerer._embedder.tokens(texts))
        expected = [vectors[item]["half"] for item in batch["item_id"].to_pylist()]
        assert rows["half"].to_pylist() == expected
    item = next(item for item in items() if item.brand)
    texts = ("--title", item.title, "--description", item.description, "--json")
    columns = ("--column", f"brand={item.brand}", "--column", f"category={item.category}")
    command = ("query", "--config", str(shop.file), *texts)
    with_fields = json.loads(in_process(*command, *columns))["neighbours"][0]
    without = json.loads(in_process(*command))["neighbours"][0]
    assert with_fields["similar_id"] == item.item_id
    assert with_fields["score"] == pytest.approx(1, abs=1e-3)
    assert without["score"] < with_fields["score"] - 0.01
    frame = api.table(shop.file, "items")
    embedded = {row["item_id"]: row["vector"] for row in api.embed(frame, shop.file).collect()}
    assert embedded == {item_id: row["vector"] for item_id, row in vectors.items()}


def test_an_inspection_names_the_fields_words(
    first: tuple[Shop, Outcome], in_process: InProcess
) -> None:
    shop, _ = first
    inspector = Inspector(VersionTables(Published.of(shop.store)))
    brands, levels = 0, 0
    for item in items()[1:40:4]:
        inspection = inspector.inspect(item.item_id, items()[-1].item_id)
        assert inspection.fields == ["brand", "category"]
        for one in inspection.neighbours:
            contributions = one.contributions
            assert contributions.meaning is not None
            assert contributions.letters is not None
            # Vectors are rounded to float16 once.
            assert contributions.meaning + contributions.letters == pytest.approx(
                one.score, abs=2e-3
            )
            words = {word for word, share in contributions.tokens if share}
            brands += bool(words & set(inspection.tokens[2].split()))
            levels += any(word.startswith(">") for word in words)
    assert brands > 10
    assert levels > 10
    command = ("inspect", items()[1].item_id, "--config", str(shop.file))
    tokens = json.loads(in_process(*command, "--json"))["tokens"]
    assert list(tokens) == ["title", "description", "brand", "category"]
    assert f"category: {' '.join(tokens['category'])}" in in_process(*command).replace("*", "")


def test_the_runs_page_shows_the_fields_tokens(first: tuple[Shop, Outcome]) -> None:
    shop, outcome = first
    record, tokens = outcome.record("publish"), shop.rows(outcome, "tokens", "tokenize")
    assert record is not None
    content = read_sample(shop.store, record, 0)
    assert content["fields"] == ["brand", "category"]
    assert len(content["shown"]) == ITEMS
    for item in content["items"]:
        row = tokens[item[0]]
        assert item[7:] == [row["brand_tokens"], row["category_tokens"]]


@pytest.mark.slow
def test_a_night_where_only_a_brand_changed_embeds_that_item_and_gives_the_full_table(
    first: tuple[Shop, Outcome], tmp_path: Path
) -> None:
    published, before = first
    shop, changed = Shop(tmp_path / "shop"), items()
    shutil.copytree(published.folder, shop.folder)
    changed[7] = replace(changed[7], brand="ミナモ")
    changed[9] = replace(changed[9], category="")
    changed[11] = replace(changed[11], brand=f" {changed[11].brand}　")
    night = shop.run(changed, _TOML + "reasons = true\n" + _FIELDS)
    embedded, tokenized = night.record("embed"), night.record("tokenize")
    assert embedded is not None
    assert tokenized is not None
    # A brand with other spaces is the same text.
    assert tokenized.counts["changes"] == {"added": 0, "changed": 2, "removed": 0}
    assert embedded.counts["embedded"] == 2
    assert night.record("train") == before.record("train")
    publish = night.record("publish")
    assert publish is not None
    pairs = read_rows(shop.store, "similar_items", publish.version("similar_items"))
    assert any(pair["shared_words"] for pair in pairs)
    layers = shop.store.open_files("tokens", tokenized.version("tokens")).layers
    assert len(layers) == 2
    full = shop.run(changed, full=True)
    for table, stage in (("tokens", "tokenize"), ("embeddings", "embed")):
        rows = shop.rows(night, table, stage)
        assert rows == shop.rows(full, table, stage), table
        earlier = shop.rows(before, table, stage)
        differing = {item for item, row in rows.items() if row != earlier[item]}
        assert differing == {changed[7].item_id, changed[9].item_id}, table
    whole = tokenized.counts["tokens"]
    assert full.record("tokenize").counts["tokens"] == whole  # type: ignore[union-attr]


def test_a_field_without_a_column_in_the_catalogue_is_refused(
    first: tuple[Shop, Outcome], tmp_path: Path
) -> None:
    shop = Shop(tmp_path)
    text = f'{_TOML}[[embed.field]]\ncolumn = "locale"\n'
    with pytest.raises(
        InputError,
        match=r"embed.field locale: the catalogue has no column for it.* are: "
        r"category, brand, maker$",
    ):
        shop.run(items(), text)
