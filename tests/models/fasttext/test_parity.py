"""Vectors against the fastText library's own, for every kind of model."""

import random
from pathlib import Path
from typing import Any

import fasttext as library
import numpy as np
import pyarrow as pa
import pytest

from models import fasttext
from tests.models.fasttext import files

TOLERANCE = 1e-6


def expected(model: Any, lists: list[list[str]]) -> np.ndarray:
    """The library's sentence vectors, a zero row for an empty list."""
    rows = [
        model.get_sentence_vector(" ".join(tokens)) if tokens else np.zeros(model.get_dimension())
        for tokens in lists
    ]
    return np.array(rows, dtype=np.float32)


def mixed(words: list[str], count: int) -> list[list[str]]:
    """Lists of 0 to 20 of these words."""
    rng = random.Random(3)  # noqa: S311
    return [rng.choices(words, k=rng.randint(0, 20)) for _ in range(count)]


def test_packed_and_unpacked_vectors_are_the_librarys(
    trained: Path, strings: list[str], tmp_path: Path
) -> None:
    model = library.load_model(str(trained))
    words = model.get_words()
    singles = [[word] for word in (*words, *strings)]
    lists = singles + mixed(words + strings, 500) + [["</s>"], ["箱", "</s>", "赤"], [], ["", ""]]
    vectors_of_library = expected(model, lists)

    packed = fasttext.load(fasttext.pack(trained, tmp_path))
    unpacked = fasttext.load(trained)

    assert packed.dim == unpacked.dim == model.get_dimension()
    for embedder in (packed, unpacked):
        vectors = embedder.embed(lists)
        assert vectors.dtype == np.float32
        assert np.abs(vectors - vectors_of_library).max() <= TOLERANCE
    assert (vectors_of_library != 0).any(axis=1).sum() > len(words) / 2


def test_labels_in_a_list_count_as_in_the_library(trained: Path, tmp_path: Path) -> None:
    model = library.load_model(str(trained))
    lists = [["__label__1"], ["__label__new", "箱"], ["箱", "__label__2", "赤い"]]
    packed = fasttext.load(fasttext.pack(trained, tmp_path))
    assert np.abs(packed.embed(lists) - expected(model, lists)).max() <= TOLERANCE


def test_arrow_and_lists_give_the_same(trained: Path, strings: list[str], tmp_path: Path) -> None:
    packed = fasttext.load(fasttext.pack(trained, tmp_path))
    assert isinstance(packed, fasttext.Embedder)
    lists = mixed(strings, 200)
    column = pa.array([["x"], None, *lists, [None, "箱"]], pa.list_(pa.string())).slice(1)
    vectors = packed.embed([[], *lists, ["箱"]])
    for column_type in (
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.binary()),
    ):
        assert np.array_equal(packed.embed_arrow(column.cast(column_type)), vectors)


def test_blocks_do_not_change_a_vector(
    trained: Path, strings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = fasttext.load(fasttext.pack(trained, tmp_path))
    lists = mixed(strings, 300)
    vectors = packed.embed(lists)
    monkeypatch.setattr("models.fasttext.embedder._BLOCK_TOKENS", 7)
    assert np.abs(packed.embed(lists) - vectors).max() <= TOLERANCE
    one_by_one = np.concatenate([packed.embed([tokens]) for tokens in lists])
    assert np.abs(one_by_one - vectors).max() <= TOLERANCE


@pytest.mark.parametrize("token", ["赤い 箱\n", "赤\0箱", "\u3000", "\x85"])
def test_white_space_does_not_split_a_token(token: str, tmp_path: Path) -> None:
    path = files.Bin(minn=1, maxn=2).write(tmp_path / "model.bin")
    word = library.load_model(str(path)).get_word_vector(token)
    unit = word / np.linalg.norm(word)
    for file in (path, fasttext.pack(path, tmp_path)):
        assert np.abs(fasttext.load(file).embed([[token]])[0] - unit).max() <= TOLERANCE


def test_half_precision_is_near(trained: Path, strings: list[str], tmp_path: Path) -> None:
    full = fasttext.load(fasttext.pack(trained, tmp_path / "full"))
    half_file = fasttext.pack(trained, tmp_path / "half", float16=True)
    lists = mixed(strings, 300)
    vectors = full.embed(lists)
    scale = max(1.0, float(np.abs(vectors).max()))
    assert np.abs(fasttext.load(half_file).embed(lists) - vectors).max() <= 2e-3 * scale
    assert half_file.stat().st_size < (tmp_path / "full" / half_file.name).stat().st_size
