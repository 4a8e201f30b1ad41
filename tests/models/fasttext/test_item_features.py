"""Features of items against sums over words that are written down plainly, in float64."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import fasttext as library
import numpy as np
import pyarrow as pa
import pytest

from models import fasttext
from models.fasttext import Blend, BlendEmbedder, TextBlendEmbedder, item_features
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.embedder import Embedder
from models.fasttext.item_features import FeatureRows, ItemFeatures, products
from models.fasttext.row_sums import Floats
from tests.models.fasttext.plain_blend import Fields, random_items, with_statistics
from tests.models.fasttext.plain_features import features, idf

BLENDS = [Blend(field_weights=(0.3,)), Blend(dim=80, title_weight=0.5, description_weight=2.0)]


@pytest.fixture(scope="module")
def model(plain_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    folder = tmp_path_factory.mktemp("model")
    library.train_unsupervised(
        str(plain_corpus), dim=16, epoch=1, minn=2, maxn=3, bucket=500, thread=1, verbose=0
    ).save_model(str(folder / "model.bin"))
    documents = [line.split() for line in plain_corpus.read_text("utf-8").splitlines()]
    # One code that a few documents have, and one that is no code any more.
    documents += [["LT-90X"]] * 3 + [["500ml"]] * 4
    return with_statistics(fasttext.pack(folder / "model.bin", folder), documents)


@pytest.fixture(scope="module")
def items(plain_corpus: Path) -> list[Fields]:
    names = sorted(set(plain_corpus.read_text(encoding="utf-8").split()))[:200]
    return random_items([*names, *(["LT-90X", "500ml", "XZ-2000"] * 8)], 120, fields=1)


def features_of(model: BlendEmbedder, items: list[Fields]) -> ItemFeatures:
    column_type = pa.list_(pa.string())
    columns = zip(*(item[: 2 + model.field_count] for item in items), strict=True)
    return model.item_features(*(pa.array(column, column_type) for column in columns))


def weighted(statistics: CatalogueStatistics, tokens: list[str]) -> dict[int, float]:
    """The letters of tokens."""
    sums: dict[int, float] = {}
    for token, times in Counter(filter(None, tokens)).items():
        for table, number in features(token):
            value = (1 + math.log(times)) * idf(statistics, table, number)
            sums[number] = sums.get(number, 0.0) + value
    return sums


def length(sums: dict[int, float]) -> float:
    return math.sqrt(sum(value * value for value in sums.values()))


def letters(statistics: CatalogueStatistics, blend: Blend, item: Fields) -> dict[int, float]:
    """The letters of an item, a row of length 1."""
    title, *bodies = (weighted(statistics, tokens) for tokens in item)
    total = {number: blend.title_weight * value for number, value in title.items()}
    size = length(total)
    for body, weight in zip(bodies, blend.body_weights, strict=False):
        other = length(body)
        limited = 2 * size / other if size > 0 and weight * other > 2 * size else weight
        for number, value in body.items():
            total[number] = total.get(number, 0.0) + limited * value
    return {number: value / length(total) for number, value in total.items()}


def product(left: dict[int, float], right: dict[int, float]) -> float:
    return sum(value * right.get(number, 0.0) for number, value in left.items())


@pytest.mark.parametrize("blend", BLENDS)
def test_products_are_those_of_sums_over_words(
    model: Embedder, items: list[Fields], blend: Blend, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = model.statistics
    assert statistics is not None
    found = features_of(BlendEmbedder(model, blend), items)
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, len(items), (2, 3000))
    monkeypatch.setattr(item_features, "_PAIR_FEATURES", 5_000)
    rows = [letters(statistics, blend, item[: 2 + len(blend.field_weights)]) for item in items]
    expected = [product(rows[i], rows[j]) for i, j in zip(left, right, strict=True)]
    assert products(found.letters, left, right) == pytest.approx(expected, abs=1e-5)
    assert max(expected) > 0.9
    words = [{w: idf(statistics, *features(w)[0]) for w in filter(None, item[0])} for item in items]
    # The table of counts is small, so that a new word may fall on the slot of a frequent one.
    is_code = {"LT-90X": True, "500ml": False, "XZ-1000B": False, "XZ-2000": True}
    codes = [{w: v for w, v in own.items() if is_code.get(w, False)} for own in words]
    for found_rows, plain in ((found.words, words), (found.codes, codes)):
        shared = [
            sum(v * v for w, v in plain[i].items() if w in plain[j])
            for i, j in zip(left, right, strict=True)
        ]
        assert products(found_rows, left, right) == pytest.approx(shared, abs=1e-4)
        own_sums = [sum(v * v for v in own.values()) for own in plain]
        assert found_rows.squared_lengths() == pytest.approx(own_sums, abs=1e-4)
        assert max(shared) > 0


def test_other_items_change_nothing(
    model: Embedder, items: list[Fields], monkeypatch: pytest.MonkeyPatch
) -> None:
    blend = BlendEmbedder(model, BLENDS[0])
    together = features_of(blend, items)
    order = list(range(len(items)))
    random.Random(1).shuffle(order)  # noqa: S311
    alone = ItemFeatures.concat([features_of(blend, [items[number]]) for number in order])
    left, right = np.random.default_rng(4).integers(0, len(items), (2, 500))
    place = np.argsort(order)
    for name in ("letters", "words", "codes"):
        one, other = getattr(together, name), getattr(alone, name)
        assert np.array_equal(
            products(one, left, right), products(other, place[left], place[right])
        )
        monkeypatch.setattr(item_features, "_PAIR_FEATURES", 1)
        assert np.array_equal(
            products(other, place[left], place[right]), products(one, left, right)
        )
        monkeypatch.undo()
        assert np.array_equal(one.squared_lengths()[order], other.squared_lengths())


def test_a_model_of_texts_without_letters_has_features(model: Embedder) -> None:
    counted = model.statistics
    assert counted is not None
    of_texts = replace(counted, common_direction=np.zeros(4, dtype=np.float32))

    class Texts:
        """A model of texts."""

        dim = 4
        statistics: CatalogueStatistics | None = of_texts

        def embed(self, token_lists: Sequence[Sequence[str]]) -> Floats:
            return np.ones((len(token_lists), 4), dtype=np.float32)

    blend = TextBlendEmbedder(Texts(), Blend(dim=0))
    column_type = pa.list_(pa.string())
    titles, none = pa.array([["靴"], ["靴"]], column_type), pa.array([[], []], column_type)
    vectors = blend.embed_fields(titles, none, texts=[["靴"], ["靴"]])
    assert np.allclose(vectors, 0.5)
    pairs = np.array([0]), np.array([1])
    assert products(blend.item_features(titles, none).letters, *pairs) == pytest.approx([1])


def test_items_without_words_and_no_items(model: Embedder) -> None:
    blend = BlendEmbedder(model, Blend())
    found = features_of(blend, [([], []), ([""], ["靴"]), (["靴"], [])])
    pairs = np.array([0, 1, 2]), np.array([1, 2, 0])
    assert products(found.letters, *pairs).tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert products(found.words, *pairs).tolist() == [0, 0, 0]
    none = features_of(blend, [([], [])])
    nothing = np.zeros(0, dtype=np.int64)
    assert products(none.letters, nothing, nothing).tolist() == []
    assert FeatureRows.concat([none.letters, found.letters]).offsets[:2].tolist() == [0, 0]
