"""Small static models with random rows, in the files of model2vec and sentence-transformers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from model2vec import StaticModel
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

DIM = 24
WORDS = ["[UNK]", "赤い", "青い", "靴", "鞄", "red", "shoe", "a", "bag", "の"]


def word_tokenizer() -> Any:
    tokenizer: Any = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]")  # noqa: S106
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def unigram_tokenizer() -> Any:
    pieces = [
        ("<unk>", 0.0),
        *((letter, -4.0) for letter in "赤青いの靴鞄redshobag▁"),
        ("▁red", -3.0),
    ]
    pieces = list(dict(pieces).items())
    tokenizer: Any = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def rows(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random rows, rounded so that float32 adds up hundreds of them without an error."""
    values = np.random.default_rng(seed).standard_normal((count, DIM))
    return (np.round(values * 64) / 64).astype(np.float32)


def model2vec_model(folder: Path, **changes: Any) -> StaticModel:
    """Save a model with model2vec, and return what the library makes of it."""
    tokenizer = changes.pop("tokenizer", None) or word_tokenizer()
    vectors = changes.pop("vectors", rows(tokenizer.get_vocab_size()))
    StaticModel(vectors, tokenizer, **changes).save_pretrained(folder)
    loaded: StaticModel = StaticModel.from_pretrained(folder)
    return loaded


def sentence_transformers_model(
    folder: Path, *, normalize: bool = False
) -> npt.NDArray[np.float32]:
    """Write a model as sentence-transformers does, and return its rows."""
    table = folder / "0_StaticEmbedding"
    table.mkdir(parents=True)
    vectors = rows(len(WORDS))
    save_file({"embedding.weight": vectors}, table / "model.safetensors")
    word_tokenizer().save(str(table / "tokenizer.json"))
    kinds = ["StaticEmbedding", *(["Normalize"] if normalize else [])]
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": f"{n}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return vectors
