"""Packing: converts a .bin, .ftz or .vec file to one aligned file that processes map and share."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.content import file_sha256
from models.disk import sync
from models.errors import ModelError
from models.fasttext import file_kind, packed_statistics, safetensors_file
from models.fasttext.binary_source import BinarySource
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.model import (
    DISTILLED,
    FORMAT,
    VERSION,
    VERSION_OF_TWO,
    read_header,
    read_packed,
    read_tensors,
)
from models.fasttext.row_sums import Floats
from models.fasttext.source import DISTILLED_MODEL, Header, Source
from models.fasttext.vec_source import VecSource
from models.fasttext.vocabulary import Vocabulary

FILE_NAME = "model.safetensors"
JSON_NAME = "model.json"


def open_source(path: Path) -> Source:
    """Open a model file to pack it.

    Raises:
        ModelError: the file is damaged, not a model, or packed already.
    """
    kind = file_kind.detect_kind(path)
    if kind == "packed":
        raise ModelError(f"{path}: packed already; give the .bin, .ftz or .vec it was made of")
    return BinarySource(path) if kind == "binary" else VecSource(path)


def pack(
    source: str | Path, out_dir: str | Path, *, text_fingerprint: str = "", float16: bool = False
) -> Path:
    """Pack a .bin, .ftz or .vec(.gz) file, in memory that does not grow with its matrix.

    model.safetensors is written under a temporary name, flushed to the disk and renamed; then
    model.json, its description, in the same way.

    Args:
        source: the model's file.
        out_dir: the folder to write to; it is created if it does not exist.
        text_fingerprint: of the rules that made the tokens that the model was trained on.
        float16: whether vectors and rows are rounded to float16, which halves the file.

    Returns:
        Path of the packed file.

    Raises:
        ModelError: the source is damaged or not a model, its values do not fit float16, or the
            folder can't be written.
    """
    path, folder = Path(source), Path(out_dir)
    model_file = open_source(path)
    header = replace(
        model_file.header, source_sha256=file_sha256(path), text_fingerprint=text_fingerprint
    )
    with new_file(folder) as packed:
        write_packed(model_file, header, packed, float16)
    return folder / FILE_NAME


@contextmanager
def new_file(folder: Path) -> Iterator[Path]:
    """Return a name to write a packed file under; afterwards it gets its own, and a description.

    Raises:
        ModelError: the folder can't be written.
    """
    with _writing(folder), ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        packed = stack.enter_context(_temporary_file(folder / FILE_NAME))
        description = stack.enter_context(_temporary_file(folder / JSON_NAME))
        yield packed
        _write_description(packed, description)
        # So that the new file never has the old file's description.
        (folder / JSON_NAME).unlink(missing_ok=True)
        packed.replace(folder / FILE_NAME)
        description.replace(folder / JSON_NAME)
        sync(folder)


def add_statistics(packed: Path, statistics: CatalogueStatistics) -> None:
    """Give a packed model statistics, in place of those it has, and write a new model.json.

    The file is changed in place. It must not be in use, and it is not a model until this function
    returns.

    Raises:
        ModelError: the file is damaged or can't be written.
    """
    with _changing(packed):
        packed_statistics.append(packed, statistics)


@contextmanager
def _changing(packed: Path) -> Iterator[None]:
    """Change a packed file in place; afterwards it gets a new description."""
    target = packed.with_name(JSON_NAME)
    with _writing(packed), _temporary_file(target) as description:
        target.unlink(missing_ok=True)
        yield
        _write_description(packed, description)
        description.replace(target)
        sync(packed.parent)


def attach(packed: Path, distilled: Path) -> None:
    """Put a distilled model of words beside a packed model of words, in the same file.

    The file is changed in place, as by `add_statistics`, and keeps the statistics that it has.

    Args:
        packed: the model that gets it.
        distilled: the packed file of the other.

    Raises:
        ModelError: a file is damaged, is of another kind, or can't be written; or there is one
            beside the model already.
    """
    model, metadata, tensors = read_packed(packed), *read_tensors(distilled)
    if read_packed(distilled).header.model != DISTILLED_MODEL:
        raise ModelError(f"{distilled}: a fastText model; give one that was distilled")
    if model.distilled is not None:
        raise ModelError(f"{packed}: has a distilled model beside it already")
    if model.header.supervised or model.header.model == DISTILLED_MODEL:
        raise ModelError(f"{packed}: is {model.header.model}: no distilled model fits beside it")
    statistics = model.statistics
    # Copied, since the file that they are mapped from is cut.
    statistics = statistics and replace(
        statistics,
        word_documents=statistics.word_documents.copy(),
        ngram_documents=statistics.ngram_documents.copy(),
        common_direction=statistics.common_direction.copy(),
    )
    with _changing(packed):
        with safetensors_file.Appender(packed) as writer:
            packed_statistics.drop(writer)
            for name, tensor in tensors.items():
                writer.add(DISTILLED + name, tensor.dtype, tensor.shape[1:], [tensor])
            second = {DISTILLED + name: value for name, value in metadata.items()}
            writer.finish(writer.metadata | second | {"version": VERSION_OF_TWO})
        if statistics is not None:
            packed_statistics.append(packed, statistics)


@contextmanager
def _temporary_file(target: Path) -> Iterator[Path]:
    """Return a new name beside the target; a file of that name is removed afterwards."""
    path = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path}: can't be written: {error.strerror or error}") from error


def write_packed(source: Source, header: Header, path: Path, float16: bool) -> None:
    """Write a source as a packed file, directly under its name."""
    dtype, dim = np.dtype("<f2" if float16 else "<f4"), header.dim
    has_vector_parts: list[npt.NDArray[np.bool_]] = []

    def vectors() -> Iterator[np.ndarray]:
        for part, has_vector in source.vectors():
            has_vector_parts.append(has_vector)
            yield _narrow(part, dtype)

    with safetensors_file.Writer(path) as writer:
        writer.add("vectors", dtype, (dim,), vectors())
        writer.add("rows", dtype, (dim,), (_narrow(part, dtype) for part in source.rows()))
        writer.add("has_vector", "u1", (), has_vector_parts)
        vocabulary = Vocabulary.build(source.words)
        writer.add("word_hashes", "<u8", (), [vocabulary.hashes])
        writer.add("word_offsets", "<i8", (), [vocabulary.words.offsets])
        writer.add("word_table", "<i4", (), [vocabulary.table])
        writer.add("word_bytes", "u1", (), [vocabulary.words.data])
        if source.kept_ngrams is not None:
            writer.add("kept_ngrams", "<i4", (), [source.kept_ngrams])
        fields = {name: str(value) for name, value in asdict(header).items()}
        writer.finish({"format": FORMAT, "version": VERSION, **fields})


def _narrow(part: Floats, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = part.astype(dtype, copy=False)
    if not np.isfinite(narrow).all():
        raise ModelError("values beyond 65,504 do not fit float16; pack without float16")
    return narrow


def _write_description(packed: Path, out: Path) -> None:
    """Write model.json of a packed file and flush it to the disk."""
    metadata, arrays = safetensors_file.read(packed)
    statistics = packed_statistics.metadata_entry(metadata)
    if metadata["format"] == FORMAT:
        own = {"float16": arrays["rows"].dtype == np.float16, **asdict(read_header(packed))}
        if DISTILLED + "vectors" in arrays:
            own["distilled_words"], own["distilled_dim"] = arrays[DISTILLED + "vectors"].shape
            own["dim"] += own["distilled_dim"]
    else:
        own = {name: value for name, value in metadata.items() if name != "statistics"}
    description = {
        "kind": "static"
        if "static" in (metadata.get("kind"), metadata.get("model"))
        else "fasttext",
        "sha256": file_sha256(packed),
        "bytes": packed.stat().st_size,
        "format": metadata["format"],
        "version": metadata["version"],
        "statistics": statistics,
        **own,
    }
    with out.open("w", encoding="utf-8") as file:
        file.write(json.dumps(description, ensure_ascii=False, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
