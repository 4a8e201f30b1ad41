"""A model as arrays, mapped from a packed file or read into memory."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import packed_statistics, safetensors_file
from models.fasttext.bytestrings import PADDING_BYTES, ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.hashing import is_power_of_two
from models.fasttext.ngrams import Ngrams
from models.fasttext.source import Header, Source
from models.fasttext.vocabulary import Vocabulary

FORMAT = "nitamono.fasttext"
VERSION = "1"
# That of a file with a distilled model beside the other, which earlier releases do not know.
VERSION_OF_TWO = "2"
# What the names of a distilled model's tensors and metadata begin with, beside another model's.
DISTILLED = "distilled."
_FLOAT_TYPES = ("<f4", "<f2")
# The type of each field of the header, str or int, which reads it from the metadata.
_FIELDS: dict[str, Any] = {field.name: field.type for field in fields(Header)}


@dataclass(frozen=True)
class Model:
    """A model as arrays.

    Attributes:
        header: settings of the model.
        vectors: float32 or float16[entries, dim], unit vectors; empty for a supervised model.
        has_vector: bool[entries], false where the vector is zeros.
        rows: float32 or float16[rows, dim], see `Source.rows`.
        vocabulary: the words; labels come after header.nwords words.
        ngrams: says which n-gram rows a word has.
        statistics: of a catalogue, if the model has them.
        distilled: a second model of words, which `packing.attach` has put beside this one.
    """

    header: Header
    vectors: np.ndarray
    has_vector: npt.NDArray[np.bool_]
    rows: np.ndarray
    vocabulary: Vocabulary
    ngrams: Ngrams
    statistics: CatalogueStatistics | None = None
    distilled: "Model | None" = None


def read_source(source: Source) -> Model:
    """Read all of a source into memory.

    Raises:
        ModelError: the source is damaged.
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
        _ngrams(header, source.kept_ngrams),
    )


def _ngrams(header: Header, kept_ngrams: npt.NDArray[np.int32] | None) -> Ngrams:
    return Ngrams(header.minn, header.maxn, header.bucket, kept_ngrams)


def read_header(path: Path) -> Header:
    """Read the header of a packed file.

    Raises:
        ModelError: the file is not a packed model, damaged, or of another version.
    """
    return _header(safetensors_file.read(path)[0], path)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Map a packed file's tensors, without statistics: its own metadata, and the tensors by name.

    Raises:
        ModelError: the file is not a packed model, damaged, or of another version.
    """
    metadata, arrays = safetensors_file.read(path)
    header = _header(metadata, path)
    names = ("format", "version", *asdict(header))
    tensors = {name: arrays[name] for name in _expected(header, arrays) if name in arrays}
    return {name: metadata[name] for name in names}, tensors


def distilled_dim(path: Path) -> int:
    """The values of a vector of the distilled model in a packed file; 0 if it has none.

    Raises:
        ModelError: the file is not a packed model, damaged, or of another version.
    """
    return int(safetensors_file.read(path)[0].get(f"{DISTILLED}dim", 0))


def read_packed(path: Path) -> Model:
    """Map a packed file, after cheap checks: it takes milliseconds, whatever its size.

    Raises:
        ModelError: the file is not a packed model, damaged, or of another version.
    """
    metadata, arrays = safetensors_file.read(path)
    model = _model(path, metadata, arrays)
    second = {
        name.removeprefix(DISTILLED): value
        for name, value in metadata.items()
        if name.startswith(DISTILLED)
    }
    if not second:
        return model
    tensors = {
        name.removeprefix(DISTILLED): array
        for name, array in arrays.items()
        if name.startswith(DISTILLED)
    }
    return replace(model, distilled=_model(path, second, tensors))


def _model(path: Path, metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> Model:
    """A model of the metadata and the tensors that it has in a file."""
    header = _header(metadata, path)
    for name, (shape, dtypes) in _expected(header, arrays).items():
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype.str not in dtypes:
            raise ModelError(f"{path}: its tensor {name} does not fit its header; pack it again")
    table, offsets = arrays["word_table"], arrays["word_offsets"]
    # Larger than the number of words, so that each lookup reaches an empty slot.
    if not is_power_of_two(len(table)) or len(table) < len(offsets):
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
    if metadata.get("version") not in (VERSION, VERSION_OF_TWO):
        raise ModelError(
            f"{path}: packed in format {metadata.get('version')}, this program reads {VERSION} and "
            f"{VERSION_OF_TWO}; pack it again"
        )
    try:
        return Header(**{name: parse(metadata[name]) for name, parse in _FIELDS.items()})
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: its header is damaged: {error}; pack it again") from error


def _expected(
    header: Header, arrays: dict[str, np.ndarray]
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return the shape and the possible types that each tensor must have."""
    kept_ngrams = arrays.get("kept_ngrams")
    offsets = arrays.get("word_offsets", np.zeros(0, np.int64))
    entries = max(header.nwords, len(arrays.get("word_hashes", ())))
    vectors = 0 if header.supervised else entries
    rows = header.first_ngram + (header.bucket if kept_ngrams is None else len(kept_ngrams))
    total = int(offsets[-1]) - int(offsets[0]) if offsets.size else 0
    floats = (arrays["vectors"].dtype.str,) if "vectors" in arrays else _FLOAT_TYPES
    expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
        "vectors": ((vectors, header.dim), _FLOAT_TYPES),
        "rows": ((rows, header.dim), floats),
        "has_vector": ((vectors,), ("|u1",)),
        "word_hashes": ((entries,), ("<u8",)),
        "word_offsets": ((entries + 1,), ("<i8",)),
        "word_bytes": ((total + PADDING_BYTES,), ("|u1",)),
        "word_table": ((len(arrays.get("word_table", ())),), ("<i4",)),
    }
    if kept_ngrams is not None:
        expected["kept_ngrams"] = ((len(kept_ngrams),), ("<i4",))
    return expected
