"""Sentence encoders in ONNX. Such a model is a directory, and reads text instead of tokens.

Needs the extra `nitamono[onnx]`.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import packed_statistics, safetensors_file
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.unpicklable import Unpicklable

__all__ = ["Encoder", "add_statistics", "load", "pack"]

_GRAPHS = ("model.onnx", "onnx/model.onnx")
_SETTINGS = (
    "config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "1_Pooling/config.json",
)
_STATISTICS = "statistics.safetensors"
# Texts are padded to multiples of this length and go in batches of one size, so that the other
# texts of a batch do not change a vector by a bit.
_LENGTH_STEP = 16
_BATCH = 16
_MAX_TOKENS = 512
# Every tokenizer makes at least one token of so many characters of running text.
_CHARACTERS_A_TOKEN = 40


def pack(source: str | Path, out_dir: str | Path) -> Path:
    """Copy the files of an encoder from a model directory, and write its graph if it has none.

    Args:
        source: a directory as sentence-transformers or Optimum writes it: tokenizer.json, and
            model.onnx (or onnx/model.onnx), or the model.safetensors of a BERT encoder.
        out_dir: the directory to write to; it is created if it does not exist.

    Returns:
        out_dir, with model.onnx, tokenizer.json and the settings.

    Raises:
        ModelError: the directory is not such a model.
    """
    folder, out = Path(source), Path(out_dir)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder}: no tokenizer.json; give a sentence encoder's directory")
    out.mkdir(parents=True, exist_ok=True)
    graph = next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)
    if graph is not None:
        shutil.copyfile(graph, out / "model.onnx")
        weights = graph.with_name("model.onnx_data")
        if weights.is_file():
            shutil.copyfile(weights, out / weights.name)
    else:
        from models.onnx import bert

        bert.write_graph(folder, out / "model.onnx")
    for name in ("tokenizer.json", *_SETTINGS):
        if (folder / name).is_file():
            (out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / name, out / name)
    load(out)
    return out


def add_statistics(folder: Path, statistics: CatalogueStatistics) -> None:
    """Add a catalogue's statistics to an encoder's directory.

    Raises:
        ModelError: the directory can't be written.
    """
    try:
        packed_statistics.write(folder / _STATISTICS, statistics)
    except OSError as error:
        raise ModelError(f"{folder}: can't be written: {error.strerror or error}") from error


def load(path: str | Path) -> "Encoder":
    """Load an encoder from its directory.

    Raises:
        ModelError: a file is missing or damaged, or the extra is not installed.
    """
    return Encoder(Path(path))


class Encoder(Unpicklable):
    """A sentence encoder that pools the last hidden states: their mean, or the first token's.

    Attributes:
        dim: length of a vector.
        reads: "text", since `embed` takes fields of running text instead of tokens.
        statistics: of a catalogue, if the directory has them.
    """

    reads: Literal["tokens", "text"] = "text"

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime
            import tokenizers
        except ImportError as error:
            raise ModelError(f"{error.name} is missing: pip install 'nitamono[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise their own kinds, and bare Exception
            raise ModelError(f"{folder}: can't be loaded: {str(error).strip()[:300]}") from error
        limit = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        positions = _json(folder / "config.json").get("max_position_embeddings")
        self._max_tokens = min(limit or _MAX_TOKENS, positions or _MAX_TOKENS)
        self._tokenizer.enable_truncation(self._max_tokens)
        self._tokenizer.no_padding()
        self._first_token = _json(folder / "1_Pooling/config.json").get("pooling_mode_cls_token")
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._prompt = _default_prompt(folder / "config_sentence_transformers.json")
        self.dim = int(self._vectors([self._tokenizer.encode("a").ids]).shape[1])
        self.statistics = _statistics(folder / _STATISTICS, self.dim)

    def embed(self, token_lists: Sequence[Sequence[str]]) -> npt.NDArray[np.float32]:
        """Return the vector of each text.

        Args:
            token_lists: n lists of text fields, a title and a description for instance; the
                fields of a list are joined by a space. The encoder's default prompt, if it has
                one, is put before each text.

        Returns:
            float32[n, dim], unit length; a zero row for an empty text.
        """
        out = np.zeros((len(token_lists), self.dim), dtype=np.float32)
        max_characters = self._max_tokens * _CHARACTERS_A_TOKEN
        texts = [" ".join(fields).strip()[:max_characters] for fields in token_lists]
        rows = [row for row, text in enumerate(texts) if text]
        prompted = [self._prompt + texts[row] for row in rows]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(prompted)]
        by_length: dict[int, list[int]] = {}
        for index, tokens in enumerate(ids):
            by_length.setdefault(_padded_length(len(tokens)), []).append(index)
        for indices in by_length.values():
            for start in range(0, len(indices), _BATCH):
                batch = indices[start : start + _BATCH]
                out[[rows[i] for i in batch]] = self._vectors([ids[i] for i in batch])
        return out

    def _vectors(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        """Compute unit vectors of at most _BATCH token lists with the same padded length."""
        length = min(_padded_length(max(map(len, ids))), self._max_tokens)
        tokens = np.zeros((_BATCH, length), dtype=np.int64)
        mask = np.zeros((_BATCH, length), dtype=np.int64)
        mask[:, 0] = 1  # so that the rows that only fill the batch have a token
        for row, row_ids in enumerate(ids):
            tokens[row, : len(row_ids)] = row_ids
            mask[row, : len(row_ids)] = 1
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": tokens * 0}
        states = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        if self._first_token:
            pooled = states[: len(ids), 0].astype(np.float64)
        else:
            weights = mask[: len(ids), :, None].astype(np.float64)
            pooled = (states[: len(ids)] * weights).sum(axis=1) / weights.sum(axis=1)
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = (pooled / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit


def _padded_length(length: int) -> int:
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP


def _default_prompt(path: Path) -> str:
    """What sentence-transformers puts before each text; empty if nothing."""
    settings = _json(path)
    return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or "")


def _statistics(path: Path, dim: int) -> CatalogueStatistics | None:
    if not path.is_file():
        return None
    return packed_statistics.read(path, *safetensors_file.read(path), dim)


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}") from error
    return content
