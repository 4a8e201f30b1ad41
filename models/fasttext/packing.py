"""Packing: a .bin, .ftz or .vec file becomes one aligned file that processes map and share."""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.content import file_sha256
from models.disk import sync
from models.errors import ModelError
from models.fasttext import file_kind, packed_statistics, safetensors_file
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.model import FORMAT, VERSION, read_header
from models.fasttext.row_sums import Floats
from models.fasttext.source import BinarySource, Header, Source
from models.fasttext.vec_source import VecSource
from models.fasttext.vocabulary import Vocabulary

FILE_NAME = "model.safetensors"
JSON_NAME = "model.json"


def open_source(path: Path) -> Source:
    """A model file as something to pack.

    Raises:
        ModelError: the file is damaged, or no model, or packed already.
    """
    kind = file_kind.detect_kind(path)
    if kind == "packed":
        raise ModelError(f"{path}: packed already; give the .bin, .ftz or .vec it was made of")
    return BinarySource(path) if kind == "binary" else VecSource(path)


def pack(
    source: str | Path, out_dir: str | Path, *, text_fingerprint: str = "", float16: bool = False
) -> Path:
    """Pack a .bin, .ftz or .vec(.gz) file, in memory that does not grow with its matrix.

    model.safetensors is written beside, brought to the disk and renamed; then model.json, which
    says what it is, in the same way.

    Args:
        source: the model's file.
        out_dir: the folder to write to; made if it is not there.
        text_fingerprint: of the rules that made the tokens the model was trained on.
        float16: store vectors and rows in half the space, rounded to 11 bits.

    Returns:
        Path of the packed file.

    Raises:
        ModelError: the source is damaged or no model, its values do not fit float16, or the
            folder can't be written.
    """
    path, folder = Path(source), Path(out_dir)
    opened = open_source(path)
    beside = folder / f".{FILE_NAME}.{uuid.uuid4().hex}"
    about_beside = beside.with_name(f"{beside.name}.json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        header = replace(
            opened.header, source_sha256=file_sha256(path), text_fingerprint=text_fingerprint
        )
        write(opened, header, beside, float16)
        _describe(beside, about_beside)
        # Never the new file under the old one's description.
        (folder / JSON_NAME).unlink(missing_ok=True)
        beside.replace(folder / FILE_NAME)
        about_beside.replace(folder / JSON_NAME)
        sync(folder)
    except OSError as error:
        raise ModelError(f"{folder}: can't be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
        about_beside.unlink(missing_ok=True)
    return folder / FILE_NAME


def add_statistics(packed: Path, statistics: CatalogueStatistics) -> None:
    """Put statistics into a packed model that has none, and describe it anew in model.json.

    The file is changed in place: it must not be in use, and it is no model until this is done.

    Raises:
        ModelError: the file is damaged or can't be written.
    """
    about = packed.with_name(JSON_NAME)
    beside = about.with_name(f".{JSON_NAME}.{uuid.uuid4().hex}")
    try:
        about.unlink(missing_ok=True)
        packed_statistics.append(packed, statistics)
        _describe(packed, beside)
        beside.replace(about)
        sync(packed.parent)
    except OSError as error:
        raise ModelError(f"{packed}: can't be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def write(source: Source, header: Header, path: Path, float16: bool) -> None:
    """Write what a source gives as a packed file, in place."""
    dtype, dim = np.dtype("<f2" if float16 else "<f4"), header.dim
    has_vector: list[npt.NDArray[np.bool_]] = []

    def vectors() -> Iterator[np.ndarray]:
        for part, has in source.vectors():
            has_vector.append(has)
            yield _narrow(part, dtype)

    with safetensors_file.Writer(path) as writer:
        writer.add("vectors", dtype, (dim,), vectors())
        writer.add("rows", dtype, (dim,), (_narrow(part, dtype) for part in source.rows()))
        writer.add("has_vector", "u1", (), has_vector)
        vocabulary = Vocabulary.build(source.words)
        writer.add("word_hashes", "<u8", (), [vocabulary.hashes])
        writer.add("word_offsets", "<i8", (), [vocabulary.words.offsets])
        writer.add("word_table", "<i4", (), [vocabulary.table])
        writer.add("word_bytes", "u1", (), [vocabulary.words.data])
        if source.kept is not None:
            writer.add("kept_ngrams", "<i4", (), [source.kept])
        about = {name: str(value) for name, value in asdict(header).items()}
        writer.finish({"format": FORMAT, "version": VERSION, **about})


def _narrow(part: Floats, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = part.astype(dtype, copy=False)
    if not np.isfinite(narrow).all():
        raise ModelError("values beyond 65,504 do not fit float16; pack without float16")
    return narrow


def _describe(packed: Path, out: Path) -> None:
    metadata, arrays = safetensors_file.read(packed)
    described = {
        "kind": "fasttext",
        "sha256": file_sha256(packed),
        "bytes": packed.stat().st_size,
        "format": FORMAT,
        "version": VERSION,
        "float16": arrays["rows"].dtype == np.float16,
        "statistics": packed_statistics.about(metadata),
        **asdict(read_header(packed)),
    }
    with out.open("w", encoding="utf-8") as file:
        file.write(json.dumps(described, ensure_ascii=False, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
