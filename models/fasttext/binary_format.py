"""Reads the layout of a fastText .bin or .ftz file and checks it before native code loads it.

The library silently loads a file that is cut inside a matrix, hangs on one that is cut in the
vocabulary, and ends the process on settings that divide by zero. Source of the layout: fastText's
src/fasttext.cc, args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc, productquantizer.cc.
"""

import mmap
import struct
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.disk import map_file
from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.binary_layout import Dense, Layout, Quantized, Quantizer

_NEWEST_VERSION = 12
_MODELS = {1: "cbow", 2: "skipgram", 3: "supervised"}
_CHUNK_VALUES = 1 << 22
# After a word: a NUL, int64 count, int8 type.
AFTER_WORD = 10
_ARGS = struct.Struct("<12id")


class _Reader:
    """Reads little-endian values from a memory map and refuses to read beyond its end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.at = 0

    def error(self, reason: str) -> ModelError:
        return ModelError(f"{self.path}: {reason}")

    def unpack(self, layout: str, part: str) -> tuple[int, ...]:
        start = self.at
        self.skip(struct.calcsize(f"<{layout}"), part)
        return struct.unpack_from(f"<{layout}", self.data, start)

    def skip(self, size: int, part: str) -> int:
        """Skip `size` bytes of a part of the file and return their offset."""
        start = self.at
        if size < 0 or start + size > len(self.data):
            raise self.error(
                f"cut short in its {part}: {len(self.data)} bytes, "
                f"at least {start + max(size, 0)} needed; copy it again"
            )
        self.at += size
        return start


def read_layout(path: Path) -> Layout:
    """Read the layout of a fastText .bin or .ftz file and check that it is complete.

    Raises:
        ModelError: the file is missing, of another kind, cut short, too long, or its parts
            disagree.
    """
    kind = file_kind.detect_kind(path)
    if kind != "binary":
        description = {"text": "word vectors as text (.vec)", "packed": "a packed model"}[kind]
        raise ModelError(f"{path}: {description}, not a fastText .bin")
    return _read(_Reader(map_file(path), path))


def _read(reader: _Reader) -> Layout:
    _, version = reader.unpack("ii", "header")
    if not 0 < version <= _NEWEST_VERSION:
        raise reader.error(f"fastText format {version} is unknown; 12 is the newest known")
    args = reader.unpack("12id", "header")
    dim, word_ngrams, model = args[0], args[5], _MODELS.get(args[7], "")
    bucket, minn, maxn = args[8:11]
    supervised = model == "supervised"
    if version == 11 and supervised:
        maxn = 0  # as in the library: such models have no n-grams, whatever their header says
    _check_args(reader, args)
    nwords, nlabels, ends, pruned = _vocabulary(reader)
    if maxn < 0 or minn < 0 or (bucket == 0 and _uses_buckets(minn, maxn, word_ngrams, supervised)):
        raise reader.error(f"bucket {bucket}, minn {minn} and maxn {maxn} can't go together")
    (is_quantized,) = reader.unpack("B", "input matrix")
    input_matrix = _matrix(reader, bool(is_quantized), "input matrix")
    if pruned is not None and not is_quantized:
        raise reader.error("pruned but not quantised, as no fastText of today writes it")
    _check_input(reader, input_matrix, (nwords, bucket, dim), pruned)
    (quantized_output,) = reader.unpack("B", "output matrix")
    output = _matrix(reader, bool(is_quantized and quantized_output), "output matrix")
    targets = nlabels if supervised else nwords
    if (output.rows, output.columns) != (targets, dim):
        raise reader.error(
            f"its output matrix has {output.rows} x {output.columns} values, "
            f"its header says {targets} x {dim}"
        )
    if reader.at != len(reader.data):
        raise reader.error(f"{len(reader.data) - reader.at} bytes too long; copy it again")
    start = 8 + _ARGS.size + 28
    return Layout(
        model, dim, nwords, nlabels, bucket, minn, maxn, word_ngrams, start, ends, pruned,
        input_matrix, output,
    )  # fmt: skip


def _check_args(reader: _Reader, args: tuple[int, ...]) -> None:
    dim, model, bucket = args[0], args[7], args[8]
    if model not in _MODELS or dim <= 0 or bucket < 0:
        raise reader.error(f"not a fastText model: model {model}, dim {dim}, bucket {bucket}")
    # floret writes two more numbers, its mode and hash count, before the last of these.
    at = reader.at
    if len(reader.data) >= at + 20:
        (sampling,) = struct.unpack_from("<d", reader.data, at)
        fasttext_sizes, floret_sizes = (
            struct.unpack_from("<3i", reader.data, offset) for offset in (at, at + 8)
        )
        if 0 <= sampling <= 1 and _is_total(floret_sizes) and not _is_total(fasttext_sizes):
            raise reader.error("a floret file, not fastText's; export its vectors as .vec")


def _is_total(sizes: tuple[int, ...]) -> bool:
    size, nwords, nlabels = sizes
    return min(nwords, nlabels) >= 0 and size == nwords + nlabels


def _vocabulary(
    reader: _Reader,
) -> tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    size, nwords, nlabels, _, pruned = reader.unpack("iiiqq", "vocabulary")
    if not _is_total((size, nwords, nlabels)) or pruned < -1:
        raise reader.error(f"its vocabulary's sizes disagree: {size}, {nwords}, {nlabels}")
    ends, at, find = array("q"), reader.at, reader.data.find
    for _ in range(size):
        at = find(b"\0", at) + AFTER_WORD
        if at < AFTER_WORD:
            at = len(reader.data) + 1
            break
        ends.append(at)
    reader.skip(at - reader.at, "vocabulary")
    entry_ends = np.array(ends, dtype=np.int64)
    types = np.frombuffer(reader.data, dtype=np.uint8)[entry_ends - 1]
    # Words come before labels. Where they do not, the entries were most likely read wrongly.
    if (types[:nwords] != 0).any() or (types[nwords:] != 1).any():
        raise reader.error(
            f"its vocabulary is damaged, or holds other than {nwords} words and {nlabels} labels"
        )
    if pruned < 0:
        return nwords, nlabels, entry_ends, None
    start = reader.skip(pruned * 8, "vocabulary")
    pairs = np.frombuffer(reader.data, dtype=np.uint8)[start : reader.at].tobytes()
    return nwords, nlabels, entry_ends, np.frombuffer(pairs, dtype="<i4").reshape(-1, 2)


def _uses_buckets(minn: int, maxn: int, word_ngrams: int, supervised: bool) -> bool:
    """Whether the model computes hashes modulo its bucket, which must not be 0 then."""
    return (maxn > 0 and minn <= maxn) or (supervised and word_ngrams > 1)


def _check_input(
    reader: _Reader,
    matrix: Dense | Quantized,
    header: tuple[int, int, int],
    pruned: npt.NDArray[np.int32] | None,
) -> None:
    nwords, bucket, dim = header
    rows = nwords + (bucket if pruned is None else len(pruned))
    if (matrix.rows, matrix.columns) != (rows, dim):
        raise reader.error(
            f"its input matrix has {matrix.rows} x {matrix.columns} values, "
            f"its header says {rows} x {dim}"
        )
    if pruned is not None and len(pruned):
        low, high = pruned.min(axis=0), pruned.max(axis=0)
        if low.min() < 0 or high[0] >= bucket or high[1] >= len(pruned):
            raise reader.error("its list of kept n-grams names rows that it does not have")


def _matrix(reader: _Reader, quantized: bool, part: str) -> Dense | Quantized:
    if quantized:
        return _quantized(reader, part)
    rows, columns = reader.unpack("qq", part)
    if rows < 0 or columns < 0:
        raise reader.error(f"its {part} says that it has {rows} x {columns} values")
    return Dense(reader.skip(rows * columns * 4, part), rows, columns)


def _quantized(reader: _Reader, part: str) -> Quantized:
    (with_norms,) = reader.unpack("B", part)
    rows, columns, code_size = reader.unpack("qqi", part)
    codes = reader.skip(code_size, part)
    quantizer = _quantizer(reader, part, columns)
    if rows < 0 or code_size != rows * quantizer.parts:
        raise reader.error(f"its {part} has {code_size} codes, not {rows} x {quantizer.parts}")
    norm_codes = reader.skip(rows, part) if with_norms else 0
    norms = _quantizer(reader, part, 1) if with_norms else None
    return Quantized(rows, columns, codes, quantizer, norm_codes, norms)


def _quantizer(reader: _Reader, part: str, columns: int) -> Quantizer:
    dim, parts, part_dim, last_dim = reader.unpack("4i", part)
    is_valid = min(dim, parts, part_dim, last_dim) > 0 and last_dim <= part_dim
    if not is_valid or dim != columns or (parts - 1) * part_dim + last_dim != dim:
        raise reader.error(f"its {part}'s product quantiser does not fit {columns} columns")
    return Quantizer(reader.skip(dim * 256 * 4, part), dim, parts, part_dim, last_dim)


def check_finite(path: Path, layout: Layout) -> None:
    """Check that no value of either matrix is NaN or infinite.

    Raises:
        ModelError: a value is.
    """
    data = map_file(path)
    for matrix in (layout.input, layout.output):
        for offset, count in matrix.values():
            for start in range(0, count, _CHUNK_VALUES):
                size = min(_CHUNK_VALUES, count - start)
                values = np.frombuffer(data, dtype="<f4", count=size, offset=offset + start * 4)
                if not np.isfinite(values).all():
                    raise ModelError(f"{path}: holds values that are not finite; train it again")
                # Otherwise each page of a file of several GB would count as memory of this process.
                data.madvise(mmap.MADV_DONTNEED)
