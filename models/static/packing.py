"""Packing a static model: its table, tokenizer and rules in one file that processes map."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.errors import ModelError
from models.fasttext import safetensors_file
from models.fasttext.packing import FILE_NAME, new_file
from models.static.source import StaticSource, read_source

FORMAT, VERSION = "nitamono.static", "1"


def pack(source: str | Path, out_dir: str | Path, *, dim: int = 0, float16: bool = False) -> Path:
    """Pack the directory of a static model.

    Args:
        source: the directory that model2vec or sentence-transformers saved.
        out_dir: where to write; it is created if it does not exist.
        dim: how many of the first dimensions are kept; 0: all.
        float16: whether values of float32 are stored in half the space.

    Returns:
        The packed file; model.json beside it describes it.

    Raises:
        ModelError: the directory is no such model, it has fewer dimensions, or the folder can't be
            written.
    """
    model = read_source(source)
    if dim > model.rows.shape[1]:
        raise ModelError(
            f"{source}: its vectors have {model.rows.shape[1]} dimensions; {dim} can't be kept"
        )
    with new_file(Path(out_dir)) as packed:
        _write(model, packed, dim or model.rows.shape[1], float16)
    return Path(out_dir) / FILE_NAME


def _write(model: StaticSource, path: Path, dim: int, float16: bool) -> None:
    rows = model.rows
    half = float16 or rows.dtype == np.float16
    dtype = np.dtype("i1") if rows.dtype == np.int8 else np.dtype("<f2" if half else "<f4")
    with np.errstate(over="ignore"):
        narrow = rows[:, :dim].astype(dtype)
    if not np.isfinite(narrow).all():
        raise ModelError("values beyond 65,504 do not fit float16; pack without float16")
    with safetensors_file.Writer(path) as writer:
        writer.add("rows", dtype, (dim,), [narrow])
        if model.row_of_token is not None:
            writer.add("row_of_token", "<i4", (), [model.row_of_token])
        if model.weights is not None:
            writer.add("weights", "<f4", (), [model.weights])
        writer.add("tokenizer", "u1", (), [np.frombuffer(model.tokenizer.encode(), np.uint8)])
        fields = asdict(model.rules) | {"dim": dim, "normalize": int(model.normalize)}
        metadata = {name: str(value) for name, value in fields.items()}
        writer.finish({"format": FORMAT, "version": VERSION, "kind": "static", **metadata})
