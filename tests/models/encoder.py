"""A tiny BERT encoder with random weights, as sentence-transformers would save it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

Weights = dict[str, npt.NDArray[np.float32]]
DIM, HEADS, LAYERS, HIDDEN_DIM, MAX_TOKENS = 16, 4, 2, 32, 40
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "赤い", "青い", "靴", "鞄", "red", "shoe", "a"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": DIM,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": MAX_TOKENS,
}


def random_weights(seed: int) -> Weights:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": draw(len(WORDS), DIM),
        "embeddings.token_type_embeddings.weight": draw(2, DIM),
        "embeddings.position_embeddings.weight": draw(MAX_TOKENS, DIM),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        sizes = {"intermediate.dense": (HIDDEN_DIM, DIM), "output.dense": (DIM, HIDDEN_DIM)}
        sizes |= {f"attention.self.{n}": (DIM, DIM) for n in ("query", "key", "value")}
        sizes["attention.output.dense"] = (DIM, DIM)
        for name, shape in sizes.items():
            weights[f"{layer}.{name}.weight"], weights[f"{layer}.{name}.bias"] = (
                draw(*shape),
                draw(shape[0]),
            )
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = 1 + draw(DIM), draw(DIM)
    return weights


def write_encoder(folder: Path) -> Path:
    """Write the directory of the encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(1), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    words: Any = models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]")  # noqa: S106
    tokenizer: Any = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
