"""A tiny BERT with random weights, compared with its formulas in NumPy."""

import pickle
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from models import ModelError, onnx
from tests.models.encoder import (
    DIM,
    HEADS,
    LAYERS,
    MAX_TOKENS,
    WORDS,
    random_weights,
    write_encoder,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def packed(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx.pack(directory, tmp_path_factory.mktemp("packed"))


def expected(text: str, *, first_token: bool = False) -> npt.NDArray[np.float64]:
    """The encoder's formulas, in float64, one text at a time and without padding."""
    w = {name: value.astype(np.float64) for name, value in random_weights(1).items()}
    words = [WORDS.index(t) if t in WORDS else 3 for t in text.split()][: MAX_TOKENS - 2]
    ids = [1, *words, 2]

    def dense(x: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        y: npt.NDArray[Any] = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
        return y

    def norm(x: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        centred = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        y: npt.NDArray[Any] = centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]
        return y

    x = (
        w["embeddings.word_embeddings.weight"][ids]
        + w["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x + w["embeddings.position_embeddings.weight"][: len(ids)], "embeddings.LayerNorm")
    size = DIM // HEADS
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(x, f"{layer}.attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for h in range(HEADS):
            cut = slice(h * size, (h + 1) * size)
            scores = q[:, cut] @ k[:, cut].T / np.sqrt(size)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, cut])
        attended = dense(np.hstack(heads), f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        wide = dense(x, f"{layer}.intermediate.dense")
        gelu = np.vectorize(lambda z: z * 0.5 * (1 + erf(z / np.sqrt(2))))(wide)
        x = norm(x + dense(gelu, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    pooled: npt.NDArray[np.float64] = x[0] if first_token else x.mean(axis=0)
    return pooled / np.linalg.norm(pooled)


TEXTS = ["赤い 靴", "青い 鞄 red shoe", "a " * 100, "ない ことば", "a", "赤い " * 20]


def test_vectors_are_those_of_the_formulas(packed: Path) -> None:
    encoder = onnx.load(packed)
    vectors = encoder.embed([[text] for text in TEXTS])
    assert (encoder.dim, encoder.reads) == (DIM, "text")
    assert vectors.dtype == np.float32
    assert np.abs(vectors - [expected(text) for text in TEXTS]).max() < 1e-6


def test_the_first_token_is_pooled_where_the_settings_say_so(
    directory: Path, tmp_path: Path
) -> None:
    packed = onnx.pack(directory, tmp_path / "cls")
    (packed / "1_Pooling").mkdir()
    (packed / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    vector = onnx.load(packed).embed([["赤い 靴"]])[0]
    assert np.abs(vector - expected("赤い 靴", first_token=True)).max() < 1e-6


def test_other_texts_do_not_change_a_vector(packed: Path) -> None:
    encoder = onnx.load(packed)
    rng = np.random.default_rng(0)
    texts = [[" ".join(rng.choice(WORDS[4:], size=n % 37 + 1))] for n in range(90)]
    together = encoder.embed(texts)
    assert np.array_equal(together[::-1], encoder.embed(texts[::-1]))
    assert np.array_equal(together, np.vstack([encoder.embed([text]) for text in texts]))


def test_fields_are_joined_and_an_empty_text_is_a_zero_row(packed: Path) -> None:
    vectors = onnx.load(packed).embed([["赤い", "靴"], ["赤い 靴"], [], ["", " "]])
    assert np.array_equal(vectors[0], vectors[1])
    assert vectors.any(axis=1).tolist() == [True, True, False, False]
    assert onnx.load(packed).embed([]).shape == (0, DIM)


def test_an_existing_graph_is_used(packed: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    (exported / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (exported / name).write_bytes((packed / name).read_bytes())
    (exported / "onnx" / "model.onnx").write_bytes((packed / "model.onnx").read_bytes())
    repacked = onnx.load(onnx.pack(exported, tmp_path / "repacked"))
    assert np.array_equal(repacked.embed([["赤い 靴"]]), onnx.load(packed).embed([["赤い 靴"]]))


def replace_file(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tokenizer.json", None, "no tokenizer.json"),
        ("tokenizer.json", b"{", "can't be loaded"),
        ("config.json", b"{", "no BERT weights to make one of"),
        ("config.json", b'{"model_type": "gpt2"}', "is gpt2, not BERT"),
        ("model.safetensors", None, "no BERT weights to make one of"),
        ("model.safetensors", b"\x00" * 40, "no BERT weights to make one of"),
        ("model.onnx", b"nonsense", "can't be loaded"),
    ],
)
def test_a_directory_that_is_no_model_is_refused(
    directory: Path, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in directory.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    replace_file(source, name, content)
    with pytest.raises(ModelError, match=reason):
        onnx.pack(source, tmp_path / "out")


def test_a_loaded_encoder_says_how_to_ship_it(packed: Path) -> None:
    with pytest.raises(ModelError, match=r"is not pickled.*models\.ship\("):
        pickle.dumps(onnx.load(packed))


def test_weights_of_another_shape_are_refused(directory: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in directory.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    incomplete = {
        n: v for n, v in random_weights(1).items() if "layer.1.output.dense.bias" not in n
    }
    save_file(incomplete, source / "model.safetensors")
    with pytest.raises(ModelError, match=r"weights lack 'encoder\.layer\.1\.output\.dense\.bias'"):
        onnx.pack(source, tmp_path / "out")
