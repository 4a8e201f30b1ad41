"""A model in arrays, mapped from a packed file or made in memory."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import packed_statistics, safetensors_file
from models.fasttext.bytestrings import SPARE, ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.ngrams import Ngrams
from models.fasttext.source import Header, Source
from models.fasttext.vocabulary import Vocabulary

FORMAT = "nitamono.fasttext"
VERSION = "1"
_FLOATS = ("<f4", "<f2")
# What makes each field out of its text: str or int.
_FIELDS: dict[str, Any] = {field.name: field.type for field in fields(Header)}


@dataclass(frozen=True)
class Model:
    """A model in arrays.

    Attributes:
        header: what it is.
        vectors: float32 or float16[entries, dim], unit vectors; none of a supervised model.
        has_vector: bool[entries], false where the vector is zeros.
        rows: float32 or float16[rows, dim], see `Source.rows`.
        vocabulary: the words; labels come after header.nwords words.
        ngrams: which n-gram rows a word has.
        statistics: of a catalogue, if there are any.
    """

    header: Header
    vectors: np.ndarray
    has_vector: npt.NDArray[np.bool_]
    rows: np.ndarray
    vocabulary: Vocabulary
    ngrams: Ngrams
    statistics: CatalogueStatistics | None = None


def in_memory(source: Source) -> Model:
    """The model of a source, without a file.

    Raises:
        ModelError: the source turns out damaged.
    """
    header = source.header
    parts = list(source.vectors())
    empty = np.zeros((0, header.dim), dtype=np.float32)
    return Model(
        header,
        np.concatenate([empty, *(vectors for vectors, _ in parts)]),
        np.concatenate([np.zeros(0, bool), *(has_vector for _, has_vector in parts)]),
        np.concatenate([empty, *source.rows()]),
        Vocabulary.build(source.words),
        _ngrams(header, source.kept),
    )


def _ngrams(header: Header, kept: npt.NDArray[np.int32] | None) -> Ngrams:
    return Ngrams(header.minn, header.maxn, header.bucket, kept)


def read_header(path: Path) -> Header:
    """What a packed file is.

    Raises:
        ModelError: it is no packed model, or damaged, or of another version.
    """
    return _header(safetensors_file.read(path)[0], path)


def read_packed(path: Path) -> Model:
    """Map a packed file, after cheap checks: milliseconds, whatever its size.

    Raises:
        ModelError: it is no packed model, or damaged, or of another version.
    """
    metadata, arrays = safetensors_file.read(path)
    header = _header(metadata, path)
    for name, (shape, dtypes) in _expected(header, arrays).items():
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype.str not in dtypes:
            raise ModelError(f"{path}: its tensor {name} does not fit its header; pack it again")
    table, offsets = arrays["word_table"], arrays["word_offsets"]
    # A power of two above the number of words, so that each search ends at a free place.
    if len(table) & (len(table) - 1) or len(table) < len(offsets):
        raise ModelError(f"{path}: its tensor word_table does not fit its header; pack it again")
    words = ByteStrings(arrays["word_bytes"], offsets)
    return Model(
        header,
        arrays["vectors"],
        arrays["has_vector"].view(bool),
        arrays["rows"],
        Vocabulary(words, arrays["word_hashes"], table),
        _ngrams(header, arrays.get("kept_ngrams")),
        packed_statistics.read(path, metadata, arrays, header.dim),
    )


def _header(metadata: dict[str, str], path: Path) -> Header:
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path}: a safetensors file, but not a packed fastText model")
    if metadata.get("version") != VERSION:
        raise ModelError(
            f"{path}: packed in format {metadata.get('version')}, this program reads {VERSION}; "
            "pack it again"
        )
    try:
        return Header(**{name: make(metadata[name]) for name, make in _FIELDS.items()})
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: its header is damaged: {error}; pack it again") from error


def _expected(
    header: Header, arrays: dict[str, np.ndarray]
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """The shape and types that each tensor must have, given the header and each other."""
    kept = arrays.get("kept_ngrams")
    offsets = arrays.get("word_offsets", np.zeros(0, np.int64))
    entries = max(header.nwords, len(arrays.get("word_hashes", ())))
    vectors = 0 if header.supervised else entries
    rows = header.first_ngram + (header.bucket if kept is None else len(kept))
    total = int(offsets[-1]) - int(offsets[0]) if offsets.size else 0
    floats = (arrays["vectors"].dtype.str,) if "vectors" in arrays else _FLOATS
    expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
        "vectors": ((vectors, header.dim), _FLOATS),
        "rows": ((rows, header.dim), floats),
        "has_vector": ((vectors,), ("|u1",)),
        "word_hashes": ((entries,), ("<u8",)),
        "word_offsets": ((entries + 1,), ("<i8",)),
        "word_bytes": ((total + SPARE,), ("|u1",)),
        "word_table": ((len(arrays.get("word_table", ())),), ("<i4",)),
    }
    if kept is not None:
        expected["kept_ngrams"] = ((len(kept),), ("<i4",))
    return expected
