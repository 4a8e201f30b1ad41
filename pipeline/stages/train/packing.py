"""Putting a model into its folder in the form that is shipped."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import ModelError, fasttext, onnx, static
from models.fasttext.source import DISTILLED_MODEL
from pipeline.config.sections import ModelSection

# Names in a model's folder: the packed model, the library's own file, the encoder's directory.
_PACKED, _BINARY, _ENCODER = "model.safetensors", "model.bin", "encoder"


@dataclass(frozen=True)
class TextRules:
    """Which text rules the tokens are made by.

    Attributes:
        tokens: their text fingerprint.
        words: what it would be without fields, whose words are made as those of titles are.
    """

    tokens: str
    words: str


def pack_fasttext(
    section: ModelSection, source: Path, folder: Path, text: TextRules
) -> tuple[Path, dict[str, Any]]:
    """Put a fastText model into its folder; return the file to ship and its counts."""
    if fasttext.is_packed(source):
        header = _header(source, text)
        if section.engine == "library":
            raise ModelError(f"{source}: packed; the engine library needs the .bin it was made of")
        shutil.copyfile(source, folder / _PACKED)
    else:
        fasttext.pack(source, folder, text_fingerprint=text.tokens, float16=section.float16)
        header = fasttext.read_header(folder / _PACKED)
    counts = {"dim": header.dim, "words": header.nwords, "ngram_rows": header.bucket}
    counts |= _beside(folder / _PACKED, header) if section.engine == "mapped" else {}
    if section.engine == "mapped":
        return folder / _PACKED, counts
    fasttext.load(source)
    shutil.copyfile(source, folder / _BINARY)
    return folder / _BINARY, counts


def _header(packed: Path, text: TextRules) -> fasttext.Header:
    """The header of a packed file of words, which must be of the tokens' rules of text.

    A file that was made without fields has vectors of words, which are those of fields too.
    """
    header = fasttext.read_header(packed)
    if header.text_fingerprint not in ("", text.tokens, text.words):
        raise ModelError(
            f"{packed}: its text fingerprint is {header.text_fingerprint}, the tokens' is "
            f"{text.tokens}: it was trained on tokens of other rules, of [text] or of "
            "[[embed.field]]; make it again of these tokens"
        )
    return header


def pack_static(
    section: ModelSection, source: Path, folder: Path, text: TextRules
) -> tuple[Path, dict[str, Any]]:
    """Put a static model into its folder; return the file to ship and its counts.

    Only one that was made of the catalogue's own tokens depends on `text`.
    """
    target = folder / _PACKED
    packed_file = static.find_packed(source)
    if packed_file is None and source.is_dir():
        static.pack(source, folder, dim=section.truncate_dim, float16=section.float16)
        return target, _static_counts(target)
    if packed_file is None:
        raise ModelError(f"{source}: no static model; give its directory or its packed file")
    source = packed_file
    if section.truncate_dim or section.float16:
        raise ModelError(
            f"{source}: is packed, so that model.truncate_dim and model.float16 can't change it; "
            "leave them out, or give the directory that it was packed from"
        )
    counts = _static_counts(source)
    if not static.has_tokenizer(source):
        header = _header(source, text)
        counts |= {"words": header.nwords, "ngram_rows": header.bucket, **_beside(source, header)}
    shutil.copyfile(source, target)
    return target, counts


def _beside(packed: Path, header: fasttext.Header) -> dict[str, Any]:
    """The counts of a packed file that has a distilled model beside the other, or none."""
    model = fasttext.load(packed)
    if not isinstance(model, fasttext.Embedder) or model.distilled is None:
        return {}
    beside = model.distilled.header
    return {"dim": header.dim + beside.dim, "distilled_words": beside.nwords}


def find_distilled(source: Path, text: TextRules) -> Path:
    """The file of a distilled model, which can stand beside a model of the same tokens.

    Args:
        source: the file, or the folder that `nitamono model distil` wrote.
        text: the tokens' rules.

    Raises:
        ModelError: there is none, it is damaged, or made of tokens of other rules.
    """
    file = static.find_packed(source)
    model = static.load(file) if file else None
    if file is None or not isinstance(model, fasttext.Embedder):
        raise ModelError(f"{source}: no model that nitamono model distil made")
    if model.header.model != DISTILLED_MODEL:
        raise ModelError(f"{source}: a fastText model; give one that nitamono model distil made")
    _header(file, text)
    return file


def attach(packed: Path, distilled: Path) -> dict[str, Any]:
    """Put a distilled model beside a packed one; return their counts together.

    Raises:
        ModelError: the packed one has none of words, or has another beside it already.
    """
    fasttext.attach(packed, distilled)
    return _beside(packed, fasttext.read_header(packed))


def _static_counts(packed: Path) -> dict[str, Any]:
    model = static.load(packed)
    return {"dim": model.dim, "reads": model.reads}


def pack_encoder(
    section: ModelSection, source: Path, folder: Path, text: TextRules
) -> tuple[Path, dict[str, Any]]:
    """Put an encoder into its folder; return the directory to ship and its counts.

    An encoder reads text and not tokens, so `text` does not matter to it.
    """
    packed = onnx.pack(source, folder / _ENCODER)
    return packed, {"dim": onnx.load(packed).dim, "reads": "text"}


PACK = {"fasttext": pack_fasttext, "static": pack_static, "onnx": pack_encoder}


def load(kind: str, packed: Path) -> fasttext.Embedder | fasttext.TextModel:
    """Load a packed model, or an encoder, to count statistics for it."""
    if kind == "onnx":
        return onnx.load(packed)
    return static.load(packed)
