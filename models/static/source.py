"""The directory of a static model, as model2vec or sentence-transformers saves it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import safetensors_file
from models.static.tokens import TokenRules

# The rows in the file of either library.
_MODEL2VEC, _SENTENCE_TRANSFORMERS = "embeddings", "embedding.weight"
# Where sentence-transformers keeps the table below the directory of the whole model.
_MODULE = "0_StaticEmbedding"
# What model2vec does where the model's config says nothing.
_MAX_TOKENS = 512


@dataclass(frozen=True)
class StaticSource:
    """A static model, with its arrays mapped.

    Attributes:
        rows: float or int8[rows, dim].
        row_of_token: int[tokens], the row of each token; None if token i has row i.
        weights: float[tokens], what a token's row is multiplied with; None: all 1.
        tokenizer: the text of tokenizer.json.
        rules: which tokens of a text count.
        normalize: whether a text's vector gets length 1.
    """

    rows: np.ndarray
    row_of_token: np.ndarray | None
    weights: np.ndarray | None
    tokenizer: str
    rules: TokenRules
    normalize: bool


def read_source(path: str | Path) -> StaticSource:
    """Read the directory of a static model.

    Raises:
        ModelError: a file is missing or damaged, the arrays don't fit each other or the tokenizer,
            or the extra is not installed.
    """
    folder = _table_folder(Path(path))
    file = folder / "model.safetensors"
    arrays = safetensors_file.read(file)[1]
    name = next((n for n in (_MODEL2VEC, _SENTENCE_TRANSFORMERS) if n in arrays), None)
    if name is None or arrays[name].ndim != 2 or 0 in arrays[name].shape:
        raise ModelError(
            f"{file}: no table of token vectors: neither {_MODEL2VEC} nor "
            f"{_SENTENCE_TRANSFORMERS} is in it"
        )
    text = _text(folder / "tokenizer.json")
    # sentence-transformers cuts no text and counts unknown tokens; model2vec does both.
    if name == _SENTENCE_TRANSFORMERS:
        rules = TokenRules.of(text, folder, None, skip_unknown=False)
        normalize = any("Normalize" in str(module.get("type")) for module in _modules(Path(path)))
    else:
        config = _json(folder / "config.json")
        rules = TokenRules.of(
            text, folder, config.get("max_length", _MAX_TOKENS), skip_unknown=True
        )
        normalize = bool(config.get("normalize", False))
    source = StaticSource(
        arrays[name], arrays.get("mapping"), arrays.get("weights"), text, rules, normalize
    )
    _check(source, file)
    return source


def table_of(folder: Path) -> str | None:
    """Name of the table of token vectors in a static model's directory; None if it is none."""
    for file in (folder / "model.safetensors", folder / _MODULE / "model.safetensors"):
        if file.is_file():
            try:
                arrays = safetensors_file.read(file)[1]
            except ModelError:
                return None
            return next((n for n in (_MODEL2VEC, _SENTENCE_TRANSFORMERS) if n in arrays), None)
    return None


def _table_folder(folder: Path) -> Path:
    for candidate in (folder, folder / _MODULE):
        if (candidate / "model.safetensors").is_file():
            if not (candidate / "tokenizer.json").is_file():
                raise ModelError(f"{candidate}: no tokenizer.json beside model.safetensors")
            return candidate
    raise ModelError(
        f"{folder}: no static model: give the directory that model2vec or sentence-transformers "
        "saved, with model.safetensors and tokenizer.json, or a packed file"
    )


def _check(source: StaticSource, file: Path) -> None:
    """Check that each token has a row, and that the values can be used."""
    tokens = source.rules.tokens
    mapping, weights = source.row_of_token, source.weights
    if mapping is None and len(source.rows) < tokens:
        raise ModelError(
            f"{file}: {len(source.rows)} rows, and tokenizer.json has {tokens} tokens: they are of "
            "different models"
        )
    for name, array in (("mapping", mapping), ("weights", weights)):
        if array is not None and (array.ndim != 1 or len(array) < tokens):
            raise ModelError(
                f"{file}: its tensor {name} has the shape {array.shape}, and tokenizer.json has "
                f"{tokens} tokens"
            )
    if mapping is not None and len(mapping) and not _within(mapping, len(source.rows)):
        raise ModelError(f"{file}: its mapping names rows that are not there")
    for array in (source.rows, weights):
        if array is not None and not np.isfinite(array).all():
            raise ModelError(f"{file}: holds values that are not finite; make the file again")


def _within(indices: npt.NDArray[np.integer], size: int) -> bool:
    return bool(np.issubdtype(indices.dtype, np.integer)) and bool(
        indices.min() >= 0 and indices.max() < size
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / "modules.json"
    modules = json.loads(_text(path)) if path.is_file() else []
    return [module for module in modules if isinstance(module, dict)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: can't be read: {error}") from error
