"""Pretrained vectors as the start of a training, against NumPy and the library's own matrix."""

import random
from pathlib import Path

import fasttext as library
import numpy as np
import pytest

from models import ModelError, fasttext
from models.fasttext import starting_vectors
from models.fasttext.train import TrainingSettings, train
from tests.models.fasttext import files

WORDS = [f"語{n}" for n in range(60)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """300 texts of 50 of the words, the first of them in most; 語49 is in one text only."""
    rng = random.Random(3)  # noqa: S311
    lines = [" ".join(rng.choices(WORDS[:49], range(49, 0, -1), k=6)) for _ in range(300)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join([*lines, "語49 未知"]) + "\n", encoding="utf-8")
    return path


def vectors_of(count: int, dim: int = 8) -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.standard_normal((count, dim)) * np.arange(dim, 0, -1) + 1).round(3)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def read_vec(path: Path) -> tuple[list[str], np.ndarray]:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    words, values = zip(*(line.split(" ", 1) for line in lines), strict=True)
    rows = np.array([value.split() for value in values], dtype=float)
    assert first == f"{rows.shape[0]} {rows.shape[1]}"
    return list(words), rows


@pytest.mark.parametrize("dim", [8, 3])
def test_they_are_the_corpus_words_on_its_principal_axes(
    corpus: Path, tmp_path: Path, dim: int
) -> None:
    vectors = vectors_of(60)
    source = files.vec(tmp_path / "given.vec", WORDS, vectors)
    assert starting_vectors.write(source, corpus, dim, tmp_path / "start.vec") == 50
    words, rows = read_vec(tmp_path / "start.vec")
    assert words == WORDS[:50]
    texts = [set(line.split()) for line in corpus.read_text(encoding="utf-8").splitlines()]
    documents = np.array([sum(word in text for text in texts) for word in words])
    weights = np.log((len(texts) + 5) / (documents + 4.5)) + 0.25
    kept = unit(vectors[:50])
    centred = unit(kept - kept.mean(axis=0))
    # Each text that has a word counts it once, times its weight.
    repeated = np.repeat(centred * weights[:, None], documents, axis=0)
    axes = np.linalg.svd(repeated, full_matrices=False)[2][:dim]
    expected = unit(centred @ axes.T)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(20, rel=1e-4)
    assert np.abs(unit(rows) @ unit(rows).T - expected @ expected.T).max() < 1e-4


def test_the_library_starts_from_them(corpus: Path, tmp_path: Path) -> None:
    source = files.vec(tmp_path / "given.vec", WORDS, vectors_of(60))
    start = tmp_path / "start.vec"
    starting_vectors.write(source, corpus, 8, start)
    words, rows = read_vec(start)
    model = library.train_unsupervised(
        str(corpus), dim=8, epoch=1, lr=1e-12, minCount=2, minn=2, maxn=3, bucket=50, thread=1,
        verbose=0, pretrainedVectors=str(start),
    )  # fmt: skip
    matrix = model.get_input_matrix()
    # 語49 occurs once, and has a row since the vectors have it; 未知 does too, and has none.
    assert {*words} <= {*model.words}
    assert "未知" not in model.words
    found = matrix[[model.get_word_id(word) for word in words]]
    assert np.abs(found - rows).max() < 1e-3


def test_words_that_never_meet_in_the_catalogue_are_near_if_the_vectors_are(tmp_path: Path) -> None:
    rng = random.Random(1)  # noqa: S311
    corpus, filler = tmp_path / "corpus.txt", [f"色{n}" for n in range(20)]
    lines = [
        " ".join([word, *rng.choices(filler, k=4)])
        for word in ("くつ", "シューズ", "りんご", "テレビ")
        for _ in range(30)
    ]
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    vectors = np.random.default_rng(2).standard_normal((24, 10))
    vectors[1] = vectors[0] + 0.1
    words = ["くつ", "シューズ", "りんご", "テレビ", *filler]
    source = files.vec(tmp_path / "given.vec", words, vectors)
    start = tmp_path / "start.vec"
    starting_vectors.write(source, corpus, 5, start)
    settings = TrainingSettings(dim=5, epoch=5, min_count=1, minn=2, maxn=3, bucket=500)
    means = {}
    for name, given in (("from vectors", start), ("at random", None)):
        train(corpus, tmp_path / "model.bin", settings, vectors=given)
        model = fasttext.load(fasttext.pack(tmp_path / "model.bin", tmp_path / name))
        assert isinstance(model, fasttext.Embedder)
        means[name] = unit(model.embed([[word] for word in words]))
    near, far = (means["from vectors"][0] @ means["from vectors"][n] for n in (1, 2))
    assert near > 0.95
    assert near - far > 0.3
    rows = means["at random"]
    assert abs(rows[0] @ rows[1] - rows[0] @ rows[2]) < 0.3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"2 9\nx" + b" 1" * 9 + b"\ny" + b" 1" * 9 + b"\n", "none of the catalogue's words"),
        (b"0 9\n", "none of the catalogue's words"),
        (b"1 2\nx 1 2\n", "vectors have 2 values, and model.dim is 3; set model.dim = 2 or less"),
        ("2 3\nx 1 2 3\n語1 1 2 drei\n".encode(), "line 3 holds a value that is no number"),
        ("3 3\n語1 1 2 3\nx 1 2 3\n語2 1 inf 3\n".encode(), "line 4 holds a value that is not fin"),
        ("2 3\n語1 1 2 3\nx 1 2\n".encode(), "line 3 has 2 values, 3 needed"),
        ("3 3\n語1 1 2 3\nx 1 2 3\n".encode(), "says 3 words, it holds 2; cut short"),
        ("語1 1 2 3\n".encode(), "its first line is not the number of words and the dimension"),
    ],
)  # fmt: skip
def test_vectors_that_training_can_not_start_from_are_refused(
    corpus: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    source = tmp_path / "given.vec"
    source.write_bytes(content)
    with pytest.raises(ModelError, match=f"{source}: .*{reason}"):
        starting_vectors.write(source, corpus, 3, tmp_path / "start.vec")
    assert not (tmp_path / "start.vec").exists()


def test_a_model_is_no_vectors(corpus: Path, tmp_path: Path) -> None:
    source = files.Bin().write(tmp_path / "model.bin")
    with pytest.raises(ModelError, match="starts from word vectors as text"):
        starting_vectors.write(source, corpus, 3, tmp_path / "start.vec")
