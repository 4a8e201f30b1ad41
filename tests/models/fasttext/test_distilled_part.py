"""A distilled model beside fastText, in one packed file, against sums written down plainly."""

import json
import shutil
from pathlib import Path

import fasttext as library
import numpy as np
import pyarrow as pa
import pytest

from models import ModelError, fasttext
from models.fasttext import Blend, BlendEmbedder, weighted_rows
from models.fasttext.embedder import Embedder
from models.static import distil
from tests.models.fasttext.plain_blend import (
    Fields,
    embedded,
    oracle,
    random_items,
    with_statistics,
)
from tests.models.fasttext.test_blend import model, skipgram

__all__ = ["model", "skipgram"]

DIM = 6


@pytest.fixture(scope="module")
def rows(plain_corpus: Path) -> dict[str, np.ndarray]:
    """Rows of words; fastText lacks the last, and the others are some of its own."""
    words = sorted(set(plain_corpus.read_text("utf-8").split()))[::2]
    values = np.random.default_rng(3).standard_normal((len(words) + 1, DIM)).astype(np.float32)
    return dict(zip([*words, "XZ-1000B"], values, strict=True))


@pytest.fixture(scope="module")
def distilled(rows: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, values = tmp_path_factory.mktemp("distilled"), np.array(list(rows.values()))
    return distil.write(list(rows), values, folder, text_fingerprint="abc", float16=False)


@pytest.fixture(scope="module")
def packed(
    skipgram: Path, model: Embedder, distilled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The model with its statistics, and the distilled one beside it."""
    path = fasttext.pack(skipgram, tmp_path_factory.mktemp("both"))
    assert model.statistics is not None
    fasttext.add_statistics(path, model.statistics)
    fasttext.attach(path, distilled)
    return path


@pytest.fixture(scope="module")
def names(plain_corpus: Path) -> list[str]:
    return plain_corpus.read_text("utf-8").split()[:60]


def loaded(path: Path) -> Embedder:
    embedder = fasttext.load(path)
    assert isinstance(embedder, Embedder)
    return embedder


@pytest.mark.parametrize(
    "blend",
    [
        Blend(),
        Blend(dim=0),
        Blend(dim=90, lexical_weight=0.2, title_weight=0.5, description_weight=2.0),
        Blend(field_weights=(0.3, 2.0)),
    ],
)
def test_the_longer_a_text_the_more_of_its_meaning_is_the_distilled_one(
    skipgram: Path, packed: Path, rows: dict[str, np.ndarray], names: list[str], blend: Blend
) -> None:
    embedder, plain = loaded(packed), library.load_model(str(skipgram))
    items = random_items(names, 60, fields=len(blend.field_weights))
    vectors = embedded(BlendEmbedder(embedder, blend), items)
    assert embedder.statistics is not None
    expected = np.array([oracle(plain, embedder.statistics, blend, item, rows) for item in items])
    assert vectors.shape == expected.shape
    assert np.abs(vectors - expected).max() < 2e-5
    assert np.array_equal(vectors.any(axis=1), expected.any(axis=1))


def test_other_items_do_not_change_an_items_vector_by_a_bit(
    packed: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = random_items(names, 120)
    together = embedded(BlendEmbedder(loaded(packed), Blend()), items)
    monkeypatch.setattr(weighted_rows, "_CACHE_BYTES", 1)
    monkeypatch.setattr(weighted_rows, "_MIN_CAPACITY", 4)
    alone = BlendEmbedder(loaded(packed), Blend())
    for item, vector in zip(items, together, strict=True):
        assert np.array_equal(embedded(alone, [item])[0], vector)


def test_what_words_add_sums_to_the_vector(packed: Path, names: list[str]) -> None:
    blended = BlendEmbedder(loaded(packed), Blend())
    items: list[Fields] = [item for item in random_items(names, 30) if any(item)]
    vectors = embedded(blended, items)
    parts = [blended.word_contributions(*item) for item in items]
    for part, vector in zip(parts, vectors, strict=True):
        assert np.abs(part.rows.sum(axis=0) - vector).max() < 1e-5
        assert part.split == 16 + DIM
    # The words of a title, with one length for both parts of the meaning.
    columns = [pa.array(column, pa.list_(pa.string())) for column in zip(*items, strict=True)]
    words = blended.title_words(*columns)
    for number, (start, stop) in enumerate(zip(words.offsets, words.offsets[1:], strict=False)):
        part = parts[number]
        for word, lengths in zip(
            words.words[start:stop].to_pylist(), words.lengths[start:stop], strict=True
        ):
            row = part.rows[part.words.index(word)]
            expected = [np.linalg.norm(row[: part.split]), np.linalg.norm(row[part.split :])]
            assert lengths == pytest.approx(expected, abs=2e-6)


def test_a_file_keeps_its_vectors_its_statistics_and_the_model_beside_it(
    packed: Path, model: Embedder, rows: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = Path(shutil.copy(packed, tmp_path / packed.name))
    embedder = loaded(path)
    tokens = [["水", "XZ-1000B"], [], ["はじめて見る語"]]
    # Means are those of fastText alone.
    assert np.array_equal(embedder.embed(tokens), model.embed(tokens))
    assert embedder.statistics is not None
    assert model.statistics is not None
    for name in ("word_documents", "ngram_documents", "common_direction"):
        ours, theirs = getattr(embedder.statistics, name), getattr(model.statistics, name)
        assert np.array_equal(ours, theirs), name
    # New statistics take the place of the old ones, and of nothing else.
    again = with_statistics(path, [["水", "水"], ["箱"]])
    assert again.statistics is not None
    assert again.statistics.documents == 2
    assert again.distilled is not None
    word = next(iter(rows))
    assert np.array_equal(again.distilled.embed([[word]])[0], rows[word])
    description = json.loads(path.with_name("model.json").read_text("utf-8"))
    assert description["kind"] == "fasttext"
    assert (description["distilled_words"], description["distilled_dim"]) == (len(rows), DIM)
    assert (description["dim"], description["version"]) == (16 + DIM, "2")
    assert description["bytes"] == path.stat().st_size
    size = fasttext.size_of_file(path)
    assert (size.dim, size.beside, size.packed) == (16, DIM, path.stat().st_size)


def test_a_column_that_weighs_nothing_changes_nothing(packed: Path, names: list[str]) -> None:
    column_type = pa.list_(pa.string())
    titles = pa.array([names[:3]] * 2, column_type)
    texts = pa.array([[], names], column_type)
    for blend, columns in (
        (Blend(description_weight=0.0), (titles, texts)),
        (Blend(title_weight=0.0, field_weights=(0.0,)), (texts, titles, texts)),
    ):
        one, other = BlendEmbedder(loaded(packed), blend).embed_fields(*columns)
        assert np.array_equal(one, other)


def test_what_can_not_stand_beside_a_model_leaves_it_as_it_is(
    packed: Path, distilled: Path, skipgram: Path, tmp_path: Path
) -> None:
    plain = fasttext.pack(skipgram, tmp_path / "plain")
    alone = Path(shutil.copy(distilled, tmp_path / "alone.safetensors"))
    for model_file, beside, reason in (
        (packed, distilled, "has a distilled model beside it already"),
        (plain, plain, "a fastText model; give one that was distilled"),
        (alone, distilled, "is static: no distilled model fits beside it"),
    ):
        before = model_file.read_bytes()
        with pytest.raises(ModelError, match=reason):
            fasttext.attach(model_file, beside)
        assert model_file.read_bytes() == before


def test_a_damaged_part_is_named(packed: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(packed, tmp_path / packed.name))
    content = path.read_bytes()
    # The header says one value more than there is.
    damaged = content.replace(b'"distilled.dim": "6"', b'"distilled.dim": "7"')
    assert damaged != content
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="tensor vectors does not fit its header"):
        fasttext.load(path)
