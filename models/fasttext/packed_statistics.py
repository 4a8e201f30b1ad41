"""Catalogue statistics in a packed model: optional tensors, and one entry of its metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelError
from models.fasttext import lexical_features, safetensors_file
from models.fasttext.catalogue_statistics import CatalogueStatistics

_ENTRY = "statistics"
_WORDS, _NGRAMS, _COMMON = "word_documents", "ngram_documents", "common_direction"
_PHRASES = "phrases"


def definition() -> dict[str, int]:
    """How features are made: statistics made otherwise are of no use."""
    return {
        "version": lexical_features.VERSION,
        "minn": lexical_features.MINN,
        "maxn": lexical_features.MAXN,
        "places": lexical_features.PLACES,
    }


def append(path: Path, statistics: CatalogueStatistics) -> None:
    """Write statistics into a packed model that has none, at its end.

    Raises:
        ModelError: it is damaged.
        OSError: it can't be written.
    """
    with safetensors_file.Appender(path) as writer:
        writer.add(_WORDS, "<i4", (), [statistics.words])
        writer.add(_NGRAMS, "<i4", (), [statistics.ngrams])
        writer.add(_COMMON, "<f4", (), [statistics.common])
        phrases = "\n".join(statistics.phrases).encode()
        writer.add(_PHRASES, "u1", (), [np.frombuffer(phrases, dtype=np.uint8)])
        about = definition() | {"documents": statistics.documents}
        writer.finish(writer.metadata | {_ENTRY: json.dumps(about)})


def about(metadata: dict[str, str]) -> dict[str, Any] | None:
    """What the metadata of a packed model say of its statistics; None without any.

    Raises:
        ValueError: they are damaged.
    """
    return json.loads(metadata[_ENTRY]) if _ENTRY in metadata else None


def read(
    path: Path, metadata: dict[str, str], arrays: dict[str, np.ndarray], dim: int
) -> CatalogueStatistics | None:
    """The statistics of a packed model, mapped as the rest of it; None if it has none.

    Raises:
        ModelError: they are damaged, or made by another release.
    """
    try:
        found = about(metadata)
        if found is None:
            return None
        documents = int(found.pop("documents"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: its statistics are damaged: {error}; pack it again") from error
    if found != definition():
        raise ModelError(
            f"{path}: its statistics were made by another release ({found}, here "
            f"{definition()}); train or pack it again"
        )
    missing = np.zeros(0, dtype=np.int32)
    words, ngrams, common = (arrays.get(name, missing) for name in (_WORDS, _NGRAMS, _COMMON))
    sound = documents >= 0 and (common.shape, common.dtype.str) == ((dim,), "<f4")
    if not (sound and _is_table(words) and _is_table(ngrams)):
        raise ModelError(f"{path}: its statistics do not fit its header; pack it again")
    try:
        phrases = arrays.get(_PHRASES, np.zeros(0, dtype=np.uint8)).tobytes().decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: its phrases are damaged; pack it again") from error
    return CatalogueStatistics(
        documents, words, ngrams, common, tuple(phrases.split("\n") if phrases else ())
    )


def _is_table(array: np.ndarray) -> bool:
    size = len(array)
    # Places are taken by the last bits of a hash.
    return (array.dtype.str, array.ndim) == ("<i4", 1) and size > 0 and size & (size - 1) == 0
