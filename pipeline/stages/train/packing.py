"""Putting a model into its folder in the form that is shipped."""

import shutil
from pathlib import Path
from typing import Any

from models import ModelError, fasttext, onnx
from pipeline.config.sections import ModelSection

# Names in a model's folder: the packed model, the library's own file, the encoder's directory.
_PACKED, _BINARY, _ENCODER = "model.safetensors", "model.bin", "encoder"


def pack_fasttext(
    section: ModelSection, source: Path, folder: Path, text: str
) -> tuple[Path, dict[str, Any]]:
    """Put a fastText model into its folder; return the file to ship and its counts."""
    if fasttext.is_packed(source):
        header = fasttext.read_header(source)
        if header.text_fingerprint not in ("", text):
            raise ModelError(
                f"{source}: its text fingerprint is {header.text_fingerprint}, the tokens' is "
                f"{text}: it was trained on tokens of other rules; train or pack it again"
            )
        if section.engine == "library":
            raise ModelError(f"{source}: packed; the engine library needs the .bin it was made of")
        shutil.copyfile(source, folder / _PACKED)
    else:
        fasttext.pack(source, folder, text_fingerprint=text, float16=section.float16)
        header = fasttext.read_header(folder / _PACKED)
    counts = {"dim": header.dim, "words": header.nwords, "ngram_rows": header.bucket}
    if section.engine == "mapped":
        return folder / _PACKED, counts
    fasttext.load(source)
    shutil.copyfile(source, folder / _BINARY)
    return folder / _BINARY, counts


def pack_encoder(
    section: ModelSection, source: Path, folder: Path, text: str
) -> tuple[Path, dict[str, Any]]:
    """Put an encoder into its folder; return the directory to ship and its counts.

    An encoder reads text and not tokens, so `text` does not matter to it.
    """
    packed = onnx.pack(source, folder / _ENCODER)
    return packed, {"dim": onnx.load(packed).dim}
