"""Catalogue statistics in a packed model: optional tensors and one entry of its metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelError
from models.fasttext import lexical_features, safetensors_file
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.hashing import is_power_of_two

_ENTRY = "statistics"
_WORDS, _NGRAMS, _COMMON_DIRECTION = "word_documents", "ngram_documents", "common_direction"
_PHRASES = "phrases"


def definition() -> dict[str, int]:
    """Return how features are made, because statistics of other features are useless."""
    return {
        "version": lexical_features.VERSION,
        "minn": lexical_features.MINN,
        "maxn": lexical_features.MAXN,
        "places": lexical_features.PLACES,
    }


def append(path: Path, statistics: CatalogueStatistics) -> None:
    """Write statistics at the end of a packed model, in place of those that it has.

    Raises:
        ModelError: the file is damaged.
        OSError: the file can't be written.
    """
    with safetensors_file.Appender(path) as writer:
        drop(writer)
        _finish(writer, writer.metadata, statistics)


def drop(writer: safetensors_file.Appender) -> None:
    """Drop the statistics of a packed model, if it has some."""
    writer.drop_from(_WORDS)
    writer.metadata.pop(_ENTRY, None)


def write(path: Path, statistics: CatalogueStatistics) -> None:
    """Write statistics to a file of their own, for a model that is a directory.

    Raises:
        OSError: the file can't be written.
    """
    with safetensors_file.Writer(path) as writer:
        _finish(writer, {}, statistics)


def _finish(
    writer: safetensors_file.Writer, metadata: dict[str, str], statistics: CatalogueStatistics
) -> None:
    writer.add(_WORDS, "<i4", (), [statistics.word_documents])
    writer.add(_NGRAMS, "<i4", (), [statistics.ngram_documents])
    writer.add(_COMMON_DIRECTION, "<f4", (), [statistics.common_direction])
    phrases = "\n".join(statistics.phrases).encode()
    writer.add(_PHRASES, "u1", (), [np.frombuffer(phrases, dtype=np.uint8)])
    entry = definition() | {"documents": statistics.documents}
    writer.finish(metadata | {_ENTRY: json.dumps(entry)})


def metadata_entry(metadata: dict[str, str]) -> dict[str, Any] | None:
    """Return the entry for statistics in the metadata of a packed model, None if it has none.

    Raises:
        ValueError: the entry is damaged.
    """
    return json.loads(metadata[_ENTRY]) if _ENTRY in metadata else None


def read(
    path: Path, metadata: dict[str, str], arrays: dict[str, np.ndarray], dim: int
) -> CatalogueStatistics | None:
    """Return the statistics of a packed model, as maps of its file; None if it has none.

    Args:
        path: of the file, for error messages.
        metadata: of the file.
        arrays: its tensors.
        dim: length of the model's vectors.

    Raises:
        ModelError: the statistics are damaged, or another release made them.
    """
    try:
        entry = metadata_entry(metadata)
        if entry is None:
            return None
        documents = int(entry.pop("documents"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: its statistics are damaged: {error}; pack it again") from error
    if entry != definition():
        raise ModelError(
            f"{path}: its statistics were made by another release ({entry}, here "
            f"{definition()}); train or pack it again"
        )
    missing = np.zeros(0, dtype=np.int32)
    words, ngrams, direction = (
        arrays.get(name, missing) for name in (_WORDS, _NGRAMS, _COMMON_DIRECTION)
    )
    is_valid = documents >= 0 and (direction.shape, direction.dtype.str) == ((dim,), "<f4")
    if not (is_valid and _is_table(words) and _is_table(ngrams)):
        raise ModelError(f"{path}: its statistics do not fit its header; pack it again")
    try:
        phrases = arrays.get(_PHRASES, np.zeros(0, dtype=np.uint8)).tobytes().decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: its phrases are damaged; pack it again") from error
    return CatalogueStatistics(
        documents, words, ngrams, direction, tuple(phrases.split("\n") if phrases else ())
    )


def _is_table(array: np.ndarray) -> bool:
    return (array.dtype.str, array.ndim) == ("<i4", 1) and is_power_of_two(len(array))
