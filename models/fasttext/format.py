"""The layout of a fastText .bin file, checked before any native code sees it.

The library loads a file cut inside a matrix without a word, and hangs on one cut in the
vocabulary. Source of the layout: fastText's src/fasttext.cc, args.cc, dictionary.cc, matrix.cc.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import ModelError

MAGIC = 793712314
_NEWEST_VERSION = 12
_MODELS = {1: "cbow", 2: "skipgram", 3: "supervised"}
_CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class Layout:
    """What a fastText file holds and where.

    Attributes:
        model: "cbow", "skipgram" or "supervised".
        dim: length of a vector.
        nwords: words in the vocabulary.
        nlabels: labels, of a supervised model.
        bucket: rows for n-grams.
        minn, maxn: shortest and longest n-gram, in characters; both 0: none.
        quantized: whether the input matrix is a product quantiser's codes.
        matrix: offset, rows and columns of the dense input matrix, if it is dense.
    """

    model: str
    dim: int
    nwords: int
    nlabels: int
    bucket: int
    minn: int
    maxn: int
    quantized: bool
    matrix: tuple[int, int, int] | None


class _Reader:
    """Reads little-endian values off a memory map and refuses to pass its end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.at = 0

    def take(self, layout: str, what: str) -> tuple[int, ...]:
        start = self.at
        self.skip(struct.calcsize(f"<{layout}"), what)
        return struct.unpack_from(f"<{layout}", self.data, start)

    def skip(self, size: int, what: str) -> None:
        if size < 0 or self.at + size > len(self.data):
            raise ModelError(
                f"{self.path}: cut short in its {what}: "
                f"{len(self.data)} bytes, at least {self.at + max(size, 0)} needed; copy it again"
            )
        self.at += size

    def skip_words(self, count: int) -> None:
        for _ in range(count):
            end = self.data.find(b"\0", self.at)
            self.skip((end if end >= 0 else len(self.data)) - self.at + 1 + 9, "vocabulary")


def read_layout(path: Path) -> Layout:
    """Walk through a fastText .bin or .ftz file and check that it is whole.

    Raises:
        ModelError: the file is missing, of another kind, cut short or too long.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size < 8:
                raise ModelError(f"{path}: not a fastText model: only {path.stat().st_size} bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _walk(_Reader(data, path))
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror or error}") from error


def _walk(reader: _Reader) -> Layout:
    path = reader.path
    magic, version = reader.take("ii", "header")
    if magic != MAGIC:
        raise ModelError(_why_not(path, bytes(reader.data[:64])))
    if not 0 < version <= _NEWEST_VERSION:
        raise ModelError(f"{path}: fastText format {version} is unknown; 12 is the newest known")
    args = reader.take("12i", "header")
    reader.take("d", "header")
    dim, model, bucket, minn, maxn = args[0], args[7], args[8], args[9], args[10]
    if model not in _MODELS or dim <= 0 or bucket < 0:
        raise ModelError(f"{path}: not a fastText model: model {model}, dim {dim}, bucket {bucket}")
    size, nwords, nlabels, _, pruned = reader.take("iiiqq", "vocabulary")
    if nwords < 0 or nlabels < 0 or size != nwords + nlabels:
        raise ModelError(f"{path}: its vocabulary's sizes disagree: {size}, {nwords}, {nlabels}")
    reader.skip_words(size)
    reader.skip(max(pruned, 0) * 8, "vocabulary")
    (quantized,) = reader.take("B", "input matrix")
    matrix = None
    if quantized:
        _quantized(reader)
    else:
        matrix = _dense(reader, "input matrix")
    if matrix is not None and matrix[1:] != (nwords + bucket, dim):
        raise ModelError(
            f"{path}: its input matrix has {matrix[1]} x {matrix[2]} values, "
            f"its header says {nwords + bucket} x {dim}; floret's files are not fastText's"
        )
    (quantized_output,) = reader.take("B", "output matrix")
    if quantized and quantized_output:
        _quantized(reader)
    else:
        _dense(reader, "output matrix")
    if reader.at != len(reader.data):
        raise ModelError(f"{path}: {len(reader.data) - reader.at} bytes too long; copy it again")
    no_ngrams = version == 11 and _MODELS[model] == "supervised"
    return Layout(
        model=_MODELS[model],
        dim=dim,
        nwords=nwords,
        nlabels=nlabels,
        bucket=bucket,
        minn=minn,
        maxn=0 if no_ngrams else maxn,
        quantized=bool(quantized),
        matrix=matrix,
    )


def _dense(reader: _Reader, what: str) -> tuple[int, int, int]:
    rows, columns = reader.take("qq", what)
    offset = reader.at
    reader.skip(rows * columns * 4 if rows >= 0 and columns >= 0 else -1, what)
    return offset, rows, columns


def _quantized(reader: _Reader) -> None:
    (with_norms,) = reader.take("B", "quantised matrix")
    rows, _, codes = reader.take("qqi", "quantised matrix")
    reader.skip(codes, "quantised matrix")
    _skip_quantizer(reader)
    if with_norms:
        reader.skip(rows, "quantised matrix")
        _skip_quantizer(reader)


def _skip_quantizer(reader: _Reader) -> None:
    dim, _, _, _ = reader.take("4i", "product quantiser")
    reader.skip(dim * 256 * 4, "product quantiser")


def _why_not(path: Path, head: bytes) -> str:
    if head.startswith(b"\x1f\x8b"):
        return f"{path}: compressed with gzip; unpack it first"
    first = head.split(b"\n")[0].split()
    if len(first) == 2 and all(part.isdigit() for part in first):
        return f"{path}: word vectors as text (.vec), not a fastText .bin"
    return f"{path}: not a fastText model, or one of the format before version 11 (no magic number)"


def check_finite(path: Path, layout: Layout) -> None:
    """Check that no value of the dense input matrix is NaN or infinite.

    Raises:
        ModelError: one is.
    """
    if layout.matrix is None:
        return
    offset, rows, columns = layout.matrix
    values = np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(rows, columns))
    for start in range(0, rows, _CHUNK_ROWS):
        if not np.isfinite(values[start : start + _CHUNK_ROWS]).all():
            raise ModelError(f"{path}: holds values that are not finite; train it again")
