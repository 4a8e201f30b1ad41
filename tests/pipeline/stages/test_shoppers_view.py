"""What a shopper would find odd in lists of a small shop: the first items of the samples."""

import csv
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import catalogue_models, quality
from benchmarks.sets import Catalogue
from models import fasttext
from pipeline.config.sections import ModelSection
from pipeline.stages.train import corpus
from pipeline.text.tokenize import TextSettings, Tokenizer
from tests.pipeline.sample_shop import SAMPLES

ITEMS, DIM = 189, 20
WATER = "清流堂 天然水 500ml 48本"
# On the ten catalogues of benchmarks/README.md the mean is .23 to .39.
MEAN_MEANING = 0.45


@dataclass(frozen=True)
class Items:
    """Items of a shop, and their vectors by the default blend.

    Attributes:
        rows: the catalogue's rows.
        vectors: float32[n, dim], of unit length; the first DIM values are the meaning.
        embedder: what made the vectors.
        tokenizer: what cut the texts.
    """

    rows: list[dict[str, str]]
    vectors: np.ndarray
    embedder: fasttext.BlendEmbedder
    tokenizer: Tokenizer

    def nearest(self, title: str) -> tuple[list[dict[str, str]], np.ndarray]:
        """All other items, the nearest to the first item with such a title first; their scores."""
        item = next(n for n, row in enumerate(self.rows) if title in row["title"])
        scores = self.vectors @ self.vectors[item]
        order = [n for n in np.argsort(-scores, kind="stable").tolist() if n != item]
        return [self.rows[n] for n in order], scores[order]

    def best_score(self, query: str) -> float:
        """The score of the item that is nearest to a text."""
        vector = quality.rounded(self.embedder.embed([self.tokenizer.tokens(query)]))[0]
        return float((self.vectors @ vector).max())


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Items:
    with (SAMPLES / "night1.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(ITEMS), strict=False)]
    tokenizer = Tokenizer(TextSettings())
    titles, descriptions = (
        [tokenizer.tokens(row[column]) for row in rows] for column in ("title", "description")
    )
    catalogue = Catalogue("samples", "labels", titles, descriptions)
    folder = tmp_path_factory.mktemp("model") / "trained"
    embedder = fasttext.BlendEmbedder(
        catalogue_models.train_model(catalogue, folder, ModelSection(dim=DIM)), fasttext.Blend()
    )
    columns = (pa.array(lists, pa.list_(pa.string())) for lists in (titles, descriptions))
    vectors = quality.rounded(embedder.embed_fields(*columns))
    return Items(rows, vectors, embedder, tokenizer)


def test_the_same_water_in_other_packs_comes_before_other_drinks(items: Items) -> None:
    rows, scores = items.nearest(WATER)
    packs = [row["title"] for row in rows[:2]]
    assert sorted(packs) == ["清流堂 天然水 500ml 24本", "清流堂　天然水　５００ｍｌ　１２本"]
    assert rows[2]["title"] == "清流堂　麦茶　国産茶葉　48本"
    assert scores[1] - scores[2] > 0.05


def test_all_that_is_near_a_drink_is_a_drink(items: Items) -> None:
    rows, _ = items.nearest(WATER)
    assert {row["category"] for row in rows[:10]} == {"ドリンク/水・お茶"}


def test_near_a_keyboard_is_no_dress(items: Items) -> None:
    rows, scores = items.nearest("メカニカルキーボード")
    assert ["キーボード" in row["title"] for row in rows[:2]] == [True, True]
    assert {row["category"] for row in rows[:8]} == {"パソコン/周辺機器"}
    clothes = [n for n, row in enumerate(rows) if row["category"].startswith("ファッション")]
    # Where all meanings are the same this is more than .5.
    assert scores[clothes].max() < 0.4


def test_the_meaning_of_two_items_is_not_the_same_because_the_shop_is_small(items: Items) -> None:
    meaning = items.vectors[:, :DIM]
    meaning = meaning / np.linalg.norm(meaning, axis=1, keepdims=True)
    cosines = (meaning @ meaning.T)[np.triu_indices(len(meaning), 1)]
    assert cosines.mean() < MEAN_MEANING


def test_a_query_for_what_the_shop_does_not_have_finds_nothing_near(items: Items) -> None:
    assert items.best_score("天然水") > 0.4
    assert items.best_score("りんご") < 0.2
    assert items.best_score("冷蔵庫") < 0.2


@pytest.mark.parametrize(
    ("tokens", "epoch", "passes"),
    [
        (300, 0, 3_333),
        (20_000, 0, 50),
        (50_000, 0, 20),
        (1_000_000, 0, 20),
        (2_000_000, 0, 10),
        (9_000_000, 0, 5),
        (300, 3, 3),
    ],
)
def test_a_small_corpus_is_read_more_often(tokens: int, epoch: int, passes: int) -> None:
    assert corpus.plan(ModelSection(epoch=epoch), tokens, [200, 100]).epoch == passes
