"""Weighted and blended vectors against sums written down plainly, in float64."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fasttext as library
import numpy as np
import pytest

from models import ModelError, fasttext
from models.fasttext import Blend, BlendEmbedder, weighted_rows
from models.fasttext.catalogue_statistics import (
    DocumentCounter,
)
from models.fasttext.embedder import Embedder
from models.fasttext.token_batch import TokenBatch
from tests.models.fasttext.plain_blend import (
    Fields,
    embedded,
    known_share,
    oracle,
    random_items,
    unit,
    with_statistics,
)
from tests.models.fasttext.plain_features import (
    features,
)


@pytest.mark.parametrize(
    "blend",
    [
        Blend(),
        Blend(dim=0),
        Blend(dim=80, lexical_weight=0.3, title_weight=0.5, description_weight=2.0),
        Blend(dim=0, title_weight=0.0, description_weight=1.0),
    ],
)
def test_vectors_are_weighted_sums_of_words(trained: Path, tmp_path: Path, blend: Blend) -> None:
    check_vectors(trained, tmp_path, blend)


def check_vectors(trained: Path, tmp_path: Path, blend: Blend) -> None:
    """Compare a blend of a model in the library's form with the vectors of `oracle`."""
    model = library.load_model(str(trained))
    vocabulary = [word for word in model.get_words() if not word.startswith("__label__")][:60]
    items = random_items(vocabulary, 60, fields=len(blend.field_weights))
    documents = [[token for column in item for token in column] for item in items]
    packed = with_statistics(fasttext.pack(trained, tmp_path), documents)
    statistics = packed.statistics
    assert statistics is not None
    vectors = embedded(BlendEmbedder(packed, blend), items)
    expected = np.array([oracle(model, statistics, blend, item) for item in items])
    assert vectors.shape == expected.shape
    assert np.abs(vectors - expected).max() < 2e-5
    assert np.array_equal(vectors.any(axis=1), expected.any(axis=1))


@pytest.fixture(scope="module")
def skipgram(plain_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    trained = library.train_unsupervised(
        str(plain_corpus), dim=16, epoch=1, minn=2, maxn=3, bucket=500, thread=1, verbose=0
    )
    path = tmp_path_factory.mktemp("skipgram") / "model.bin"
    trained.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def model(skipgram: Path, plain_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    documents = [line.split() for line in plain_corpus.read_text("utf-8").splitlines()]
    return with_statistics(fasttext.pack(skipgram, tmp_path_factory.mktemp("model")), documents)


@pytest.mark.parametrize(
    "blend",
    [
        Blend(field_weights=(0.3,)),
        Blend(dim=80, title_weight=0.7, field_weights=(0.3, 0.0, 2.0)),
        Blend(dim=0, title_weight=0.0, description_weight=0.0, field_weights=(0.5,)),
    ],
)
def test_fields_are_weighted_and_limited_as_descriptions_are(
    skipgram: Path, tmp_path: Path, blend: Blend
) -> None:
    check_vectors(skipgram, tmp_path, blend)


def test_other_items_do_not_change_an_items_vector_by_a_bit(
    model: Embedder, plain_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = plain_corpus.read_text(encoding="utf-8").split()[:3000]
    items, blend = random_items(names, 600, fields=2), Blend(field_weights=(0.3, 0.5))
    together = embedded(BlendEmbedder(model, blend), items)
    # A cache of few words computes most rows many times.
    monkeypatch.setattr(weighted_rows, "_CACHE_BYTES", 1)
    small_cache = BlendEmbedder(model, blend)
    assert small_cache._cache.capacity == 256
    one_by_one = np.concatenate([embedded(small_cache, [item]) for item in items])
    shuffled = list(range(len(items)))
    random.Random(1).shuffle(shuffled)  # noqa: S311
    reordered = embedded(small_cache, [items[number] for number in shuffled])
    assert np.array_equal(together, one_by_one)
    assert np.array_equal(together[shuffled], reordered)


def test_an_item_without_words_in_its_fields_has_the_vector_of_a_blend_without_fields(
    model: Embedder, plain_corpus: Path
) -> None:
    names = plain_corpus.read_text(encoding="utf-8").split()[:3000]
    items = random_items(names, 60)
    with_fields = BlendEmbedder(model, Blend(field_weights=(0.3, 1.0)))
    assert np.array_equal(
        embedded(with_fields, [(*item, [], []) for item in items]),
        embedded(BlendEmbedder(model, Blend()), items),
    )
    with pytest.raises(ValueError, match="0 fields, and weights of 2"):
        embedded(with_fields, items)


def test_long_words_with_the_same_beginning_and_end_differ(model: Embedder) -> None:
    twins = [["あ" * 30 + middle + "ん" * 30] for middle in ("いろは", "にほへ")]
    alone = [BlendEmbedder(model, Blend()).embed([one]) for one in twins]
    assert not np.array_equal(alone[0], alone[1])
    assert np.array_equal(BlendEmbedder(model, Blend()).embed(twins), np.concatenate(alone))


def test_a_new_word_counts_from_the_first_night(model: Embedder) -> None:
    blend = BlendEmbedder(model, Blend())
    vectors = blend.embed([["新発売", "ゼロヨン7"], ["別物", "ゼロヨン7"], ["別物", "イチニ"]])
    alike, unlike = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert alike > unlike + 0.2


def test_a_word_of_all_documents_has_a_low_weight(
    plain_corpus: Path, model: Embedder, tmp_path: Path
) -> None:
    packed = tmp_path / "model.safetensors"
    library.train_unsupervised(
        str(plain_corpus), dim=16, epoch=1, minn=2, maxn=3, bucket=500, thread=1, verbose=0
    ).save_model(str(tmp_path / "model.bin"))
    fasttext.pack(tmp_path / "model.bin", tmp_path)
    lines = plain_corpus.read_text(encoding="utf-8").splitlines()
    promoted = with_statistics(packed, [[*line.split(), "送料無料"] for line in lines])
    (plain, with_phrase), (without, counted) = (
        map(unit, BlendEmbedder(each, Blend()).embed([["赤い", "靴"], ["赤い", "靴", "送料無料"]]))
        for each in (promoted, model)
    )
    assert plain @ with_phrase > 0.98
    assert without @ counted < 0.9


def test_a_long_description_does_not_drown_the_title(
    model: Embedder, plain_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(set(plain_corpus.read_text(encoding="utf-8").split()))[:400]
    title, description = ["赤い", "靴"], names
    items: list[Fields] = [(title, description), (title, []), ([], description)]
    vectors = embedded(BlendEmbedder(model, Blend(lexical_weight=1.0)), items)
    monkeypatch.setattr("models.fasttext.body_weights._MAX_RATIO", np.float32(1e9))
    drowned = embedded(BlendEmbedder(model, Blend(lexical_weight=1.0)), items)
    assert vectors[0] @ vectors[1] > 0.3 > drowned[0] @ drowned[1]
    free = embedded(BlendEmbedder(model, Blend(title_weight=0.0)), items)
    assert np.allclose(free[0], free[2], atol=1e-6)


def test_statistics_are_part_of_the_packed_file(model: Embedder, tmp_path: Path) -> None:
    plain = fasttext.pack(_binary(tmp_path), tmp_path / "packed")
    before, description = plain.read_bytes(), (plain.parent / "model.json").read_text()
    loaded = fasttext.load(plain)
    assert isinstance(loaded, Embedder)
    with pytest.raises(ModelError, match="carries no statistics"):
        BlendEmbedder(loaded, Blend())
    counts = DocumentCounter()
    counts.add(TokenBatch.from_arrow(*Embedder.flatten([["箱", "apple"], ["箱"], []])))
    statistics = counts.finish(np.array([0, 1, 0, 0], dtype=np.float32))
    fasttext.add_statistics(plain, statistics)
    reloaded = fasttext.load(plain)
    assert isinstance(reloaded, Embedder)
    assert reloaded.statistics is not None
    assert reloaded.statistics.documents == 3
    for name in ("word_documents", "ngram_documents", "common_direction"):
        assert np.array_equal(getattr(reloaded.statistics, name), getattr(statistics, name))
    assert np.array_equal(reloaded.embed([["箱", "apple"]]), loaded.embed([["箱", "apple"]]))
    assert '"documents": 3' in (plain.parent / "model.json").read_text()
    assert '"documents"' not in description
    complete = plain.read_bytes()
    # Others take their place.
    fasttext.add_statistics(plain, replace(statistics, documents=7, phrases=("送料 無料",)))
    again = fasttext.load(plain)
    assert isinstance(again, Embedder)
    assert again.statistics is not None
    assert (again.statistics.documents, again.statistics.phrases) == (7, ("送料 無料",))
    fasttext.add_statistics(plain, statistics)
    assert plain.read_bytes() == complete
    for damaged, message in {
        complete.replace(b'\\"places\\": 4', b'\\"places\\": 5'): "made by another release",
        complete.replace(b'"word_documents"', b'"word_documentz"'): "do not fit its header",
        complete[: len(before)]: "cut short",
    }.items():
        plain.write_bytes(damaged)
        with pytest.raises(ModelError, match=message):
            fasttext.load(plain)


def _binary(folder: Path) -> Path:
    from tests.models.fasttext.files import Bin

    return Bin().write(folder / "model.bin")


def test_a_document_counts_once_for_each_word() -> None:
    rng = random.Random(2)  # noqa: S311
    names = [f"品{number}" for number in range(300)]
    documents = [rng.choices(names, k=rng.randint(0, 12)) for _ in range(500)]
    counts = DocumentCounter()
    for start in range(0, 500, 70):
        counts.add(TokenBatch.from_arrow(*Embedder.flatten(documents[start : start + 70])))
    statistics = counts.finish(np.zeros(1, dtype=np.float32))
    expected: dict[str, Counter[int]] = {"word_documents": Counter(), "ngram_documents": Counter()}
    for document in documents:
        document_features = {feature for word in document for feature in features(word)}
        for table, number in document_features:
            expected[table][number % len(getattr(statistics, table))] += 1
    assert statistics.documents == 500
    for table, counter in expected.items():
        slots = getattr(statistics, table)
        assert {slot: int(slots[slot]) for slot in np.flatnonzero(slots)} == dict(counter)
        assert len(slots) <= 10 * len(counter)


def test_a_word_of_nothing_that_the_catalogue_has_is_like_no_item(
    model: Embedder, plain_corpus: Path
) -> None:
    blend = BlendEmbedder(model, Blend())
    documents = [line.split() for line in plain_corpus.read_text("utf-8").splitlines()]
    statistics = model.statistics
    assert statistics is not None
    words = ["ψύξη", "葡萄酢", "ヹヸ", "ǆǅ"]
    unknown = [word for word in words if known_share(statistics, word) == 0.0]
    assert unknown
    vectors = np.array([unit(vector) for vector in blend.embed([[word] for word in unknown])])
    items = np.array([unit(vector) for vector in blend.embed(documents[:300])])
    # Without support in the catalogue, untrained n-grams made this .45 and more. What is left are
    # the collisions of a random projection.
    assert np.abs(vectors @ items.T).max() < 0.2
    assert not vectors[:, : model.dim].any()
