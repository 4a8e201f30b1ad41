"""The layout of a fastText .bin or .ftz file, checked before any native code sees it.

The library loads a file cut inside a matrix without a word, hangs on one cut in the vocabulary,
and ends the process on settings that divide by zero. Source of the layout: fastText's
src/fasttext.cc, args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc, productquantizer.cc.
"""

import mmap
import struct
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext import file_kind
from models.fasttext.binary_layout import Dense, Layout, Quantized, Quantizer

_NEWEST_VERSION = 12
_MODELS = {1: "cbow", 2: "skipgram", 3: "supervised"}
_CHUNK_VALUES = 1 << 22
# After a word: a NUL, int64 count, int8 type.
_AFTER_WORD = 10
_ARGS = struct.Struct("<12id")


class _Reader:
    """Reads little-endian values off a memory map and refuses to pass its end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.at = 0

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"{self.path}: {why}")

    def take(self, layout: str, what: str) -> tuple[int, ...]:
        start = self.at
        self.skip(struct.calcsize(f"<{layout}"), what)
        return struct.unpack_from(f"<{layout}", self.data, start)

    def skip(self, size: int, what: str) -> int:
        """Pass `size` bytes; returns where they start."""
        start = self.at
        if size < 0 or start + size > len(self.data):
            raise self.refuse(
                f"cut short in its {what}: {len(self.data)} bytes, "
                f"at least {start + max(size, 0)} needed; copy it again"
            )
        self.at += size
        return start


def read_layout(path: Path) -> Layout:
    """Walk through a fastText .bin or .ftz file and check that it is whole.

    Raises:
        ModelError: the file is missing, of another kind, cut short, too long, or its parts
            disagree.
    """
    kind = file_kind.detect_kind(path)
    if kind != "binary":
        what = {"text": "word vectors as text (.vec)", "packed": "a packed model"}[kind]
        raise ModelError(f"{path}: {what}, not a fastText .bin")
    return _walk(_Reader(map_file(path), path))


def map_file(path: Path) -> mmap.mmap:
    """Map a file into memory, to read.

    Raises:
        ModelError: it can't be.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be mapped: {error}") from error


def _walk(reader: _Reader) -> Layout:
    _, version = reader.take("ii", "header")
    if not 0 < version <= _NEWEST_VERSION:
        raise reader.refuse(f"fastText format {version} is unknown; 12 is the newest known")
    args = reader.take("12id", "header")
    dim, word_ngrams, model = args[0], args[5], _MODELS.get(args[7], "")
    bucket, minn, maxn = args[8:11]
    supervised = model == "supervised"
    if version == 11 and supervised:
        maxn = 0  # as the library does: such models have no n-grams, whatever they say
    _check_args(reader, args)
    nwords, nlabels, ends, pruned = _vocabulary(reader)
    if maxn < 0 or minn < 0 or (bucket == 0 and _hashes(minn, maxn, word_ngrams, supervised)):
        raise reader.refuse(f"bucket {bucket}, minn {minn} and maxn {maxn} can't go together")
    (is_quantized,) = reader.take("B", "input matrix")
    source = _matrix(reader, bool(is_quantized), "input matrix")
    if pruned is not None and not is_quantized:
        raise reader.refuse("pruned but not quantised, as no fastText of today writes it")
    _check_input(reader, source, (nwords, bucket, dim), pruned)
    (quantized_output,) = reader.take("B", "output matrix")
    output = _matrix(reader, bool(is_quantized and quantized_output), "output matrix")
    targets = nlabels if supervised else nwords
    if (output.rows, output.columns) != (targets, dim):
        raise reader.refuse(
            f"its output matrix has {output.rows} x {output.columns} values, "
            f"its header says {targets} x {dim}"
        )
    if reader.at != len(reader.data):
        raise reader.refuse(f"{len(reader.data) - reader.at} bytes too long; copy it again")
    start = 8 + _ARGS.size + 28
    return Layout(
        model, dim, nwords, nlabels, bucket, minn, maxn, word_ngrams, start, ends, pruned,
        source, output,
    )  # fmt: skip


def _check_args(reader: _Reader, args: tuple[int, ...]) -> None:
    dim, model, bucket = args[0], args[7], args[8]
    if model not in _MODELS or dim <= 0 or bucket < 0:
        raise reader.refuse(f"not a fastText model: model {model}, dim {dim}, bucket {bucket}")
    # floret writes two more numbers, its mode and hash count, before the last of these.
    at = reader.at
    if len(reader.data) >= at + 20:
        (sampling,) = struct.unpack_from("<d", reader.data, at)
        ours, theirs = (struct.unpack_from("<3i", reader.data, place) for place in (at, at + 8))
        if 0 <= sampling <= 1 and _is_sum(theirs) and not _is_sum(ours):
            raise reader.refuse("a floret file, not fastText's; export its vectors as .vec")


def _is_sum(sizes: tuple[int, ...]) -> bool:
    size, nwords, nlabels = sizes
    return min(nwords, nlabels) >= 0 and size == nwords + nlabels


def _vocabulary(
    reader: _Reader,
) -> tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    size, nwords, nlabels, _, pruned = reader.take("iiiqq", "vocabulary")
    if not _is_sum((size, nwords, nlabels)) or pruned < -1:
        raise reader.refuse(f"its vocabulary's sizes disagree: {size}, {nwords}, {nlabels}")
    ends, at, find = array("q"), reader.at, reader.data.find
    for _ in range(size):
        at = find(b"\0", at) + _AFTER_WORD
        if at < _AFTER_WORD:
            at = len(reader.data) + 1
            break
        ends.append(at)
    reader.skip(at - reader.at, "vocabulary")
    entry_ends = np.array(ends, dtype=np.int64)
    types = np.frombuffer(reader.data, dtype=np.uint8)[entry_ends - 1]
    # Words come first. Where this fails, the walk has most likely left the vocabulary.
    if (types[:nwords] != 0).any() or (types[nwords:] != 1).any():
        raise reader.refuse(
            f"its vocabulary is damaged, or holds other than {nwords} words and {nlabels} labels"
        )
    if pruned < 0:
        return nwords, nlabels, entry_ends, None
    start = reader.skip(pruned * 8, "vocabulary")
    pairs = np.frombuffer(reader.data, dtype=np.uint8)[start : reader.at].tobytes()
    return nwords, nlabels, entry_ends, np.frombuffer(pairs, dtype="<i4").reshape(-1, 2)


def _hashes(minn: int, maxn: int, word_ngrams: int, supervised: bool) -> bool:
    """Whether the model takes hashes modulo its bucket, which must not be 0 then."""
    return (maxn > 0 and minn <= maxn) or (supervised and word_ngrams > 1)


def _check_input(
    reader: _Reader,
    source: Dense | Quantized,
    header: tuple[int, int, int],
    pruned: npt.NDArray[np.int32] | None,
) -> None:
    nwords, bucket, dim = header
    rows = nwords + (bucket if pruned is None else len(pruned))
    if (source.rows, source.columns) != (rows, dim):
        raise reader.refuse(
            f"its input matrix has {source.rows} x {source.columns} values, "
            f"its header says {rows} x {dim}"
        )
    if pruned is not None and len(pruned):
        low, high = pruned.min(axis=0), pruned.max(axis=0)
        if low.min() < 0 or high[0] >= bucket or high[1] >= len(pruned):
            raise reader.refuse("its list of kept n-grams names rows that it does not have")


def _matrix(reader: _Reader, quantized: bool, what: str) -> Dense | Quantized:
    if quantized:
        return _quantized(reader, what)
    rows, columns = reader.take("qq", what)
    if rows < 0 or columns < 0:
        raise reader.refuse(f"its {what} says that it has {rows} x {columns} values")
    return Dense(reader.skip(rows * columns * 4, what), rows, columns)


def _quantized(reader: _Reader, what: str) -> Quantized:
    (with_norms,) = reader.take("B", what)
    rows, columns, code_size = reader.take("qqi", what)
    codes = reader.skip(code_size, what)
    quantizer = _quantizer(reader, what, columns)
    if rows < 0 or code_size != rows * quantizer.parts:
        raise reader.refuse(f"its {what} has {code_size} codes, not {rows} x {quantizer.parts}")
    norm_codes = reader.skip(rows, what) if with_norms else 0
    norms = _quantizer(reader, what, 1) if with_norms else None
    return Quantized(rows, columns, codes, quantizer, norm_codes, norms)


def _quantizer(reader: _Reader, what: str, columns: int) -> Quantizer:
    dim, parts, part_dim, last_dim = reader.take("4i", what)
    whole = min(dim, parts, part_dim, last_dim) > 0 and last_dim <= part_dim
    if not whole or dim != columns or (parts - 1) * part_dim + last_dim != dim:
        raise reader.refuse(f"its {what}'s product quantiser does not fit {columns} columns")
    return Quantizer(reader.skip(dim * 256 * 4, what), dim, parts, part_dim, last_dim)


def check_finite(path: Path, layout: Layout) -> None:
    """Check that no value of either matrix is NaN or infinite.

    Raises:
        ModelError: one is.
    """
    data = map_file(path)
    for matrix in (layout.input, layout.output):
        for offset, count in matrix.values():
            for start in range(0, count, _CHUNK_VALUES):
                size = min(_CHUNK_VALUES, count - start)
                values = np.frombuffer(data, dtype="<f4", count=size, offset=offset + start * 4)
                if not np.isfinite(values).all():
                    raise ModelError(f"{path}: holds values that are not finite; train it again")
                # Else every page of a file of several GB would count as this process's.
                data.madvise(mmap.MADV_DONTNEED)
