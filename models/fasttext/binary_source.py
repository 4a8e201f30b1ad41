"""A fastText .bin or .ftz file as the source of a packed model."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.disk import map_file
from models.errors import ModelError
from models.fasttext.binary_format import AFTER_WORD, check_finite, read_layout
from models.fasttext.binary_layout import Dense, Layout, Quantized, Quantizer
from models.fasttext.bytestrings import ByteStrings, expand_ranges, offsets_from_lengths
from models.fasttext.ngrams import Ngrams
from models.fasttext.row_sums import Floats, normalize_rows, sum_decoded_rows
from models.fasttext.source import Header

_BLOCK_BYTES = 1 << 17
_BLOCK_ROWS = 1 << 12
# Rows that are read before the pages around them are given back.
_RELEASE_ROWS = 1 << 8


class BinarySource:
    """A .bin or .ftz file, mapped and checked; see `Source`."""

    kept_ngrams: npt.NDArray[np.int32] | None

    def __init__(self, path: Path) -> None:
        """Check the file and read its vocabulary.

        Raises:
            ModelError: the file is damaged, of another kind, or has values that are not finite.
        """
        layout = read_layout(path)
        check_finite(path, layout)
        self._path = path
        self._layout = layout
        self._data = map_file(path)
        self._matrix = _open_rows(self._data, layout.input)
        self.words = _words(self._data, layout)
        self.header = Header(
            layout.model, layout.dim, layout.nwords, layout.bucket, layout.minn, layout.maxn,
            layout.word_ngrams,
        )  # fmt: skip
        self.kept_ngrams = None
        # Rows of n-grams in the input matrix, in the order of `kept_ngrams`.
        self._ngram_rows = layout.nwords + np.arange(layout.bucket)
        if layout.pruned is not None:
            order = np.argsort(layout.pruned[:, 0], kind="stable")
            self.kept_ngrams = layout.pruned[order, 0]
            self._ngram_rows = layout.nwords + layout.pruned[order, 1].astype(np.int64)

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """See `Source`.

        Raises:
            ModelError: rows are too large to be added up.
        """
        if self.header.supervised:
            return
        layout = self._layout
        ngrams = Ngrams(layout.minn, layout.maxn, layout.bucket, self.kept_ngrams)
        if len(self.words) > self._matrix.count:
            raise ModelError(
                f"{self._path}: its vocabulary has labels without a row; train it without labels"
            )
        for start, stop in self.words.blocks(_BLOCK_BYTES):
            ngram_rows, offsets = ngrams.word_rows(self.words.slice(start, stop))
            # A word's own row comes first. For a label the library reads a row of the n-grams.
            own_rows = np.arange(start, stop)
            rows = np.insert(self._ngram_rows[ngram_rows], offsets[:-1], own_rows)
            offsets = offsets + np.arange(len(offsets))
            vectors = sum_decoded_rows(self._decode, rows, offsets, layout.dim)
            vectors *= (np.float32(1) / np.diff(offsets).astype(np.float32))[:, None]
            has_vector = normalize_rows(vectors)
            if not np.isfinite(vectors).all():
                raise ModelError(f"{self._path}: values too large to be added up; train it again")
            yield vectors, has_vector

    def rows(self) -> Iterator[Floats]:
        """See `Source`."""
        parts = [self._ngram_rows]
        if self.header.supervised:
            parts.insert(0, np.arange(self._layout.nwords))
        for part in parts:
            for start in range(0, len(part), _BLOCK_ROWS):
                yield self._decode(part[start : start + _BLOCK_ROWS])

    def _decode(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Read rows of the input matrix: float32[k, dim]."""
        values = np.empty((len(rows), self._layout.dim), dtype=np.float32)
        for start in range(0, len(rows), _RELEASE_ROWS):
            part = slice(start, start + _RELEASE_ROWS)
            values[part] = self._matrix.take(rows[part])
            # The system maps up to 2 MiB around each row, which counts as memory of this process:
            # after some thousand rows that is the whole of a model of several GB.
            self._data.madvise(mmap.MADV_DONTNEED)
        return values


@dataclass(frozen=True)
class _DenseRows:
    """Rows of a dense matrix, as bytes because they are not aligned in the file."""

    values: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        return len(self.values)

    def take(self, rows: npt.NDArray[np.int64]) -> Floats:
        return self.values[rows].view("<f4").astype(np.float32, copy=False)


@dataclass(frozen=True)
class _QuantizedRows:
    """Rows of a product quantiser: the centroid of each part, times the centroid of the norm."""

    codes: npt.NDArray[np.uint8]
    centroids: list[Floats]
    norm_codes: npt.NDArray[np.uint8] | None
    norms: Floats | None

    @property
    def count(self) -> int:
        return len(self.codes)

    def take(self, rows: npt.NDArray[np.int64]) -> Floats:
        codes = self.codes[rows]
        parts = [table[codes[:, part]] for part, table in enumerate(self.centroids)]
        values = np.concatenate(parts, axis=1)
        if self.norm_codes is not None and self.norms is not None:
            values *= self.norms[self.norm_codes[rows]]
        return values


def _open_rows(data: mmap.mmap, matrix: Dense | Quantized) -> _DenseRows | _QuantizedRows:
    if isinstance(matrix, Dense):
        size = matrix.rows * matrix.columns * 4
        values = np.frombuffer(data, np.uint8, count=size, offset=matrix.offset)
        return _DenseRows(values.reshape(matrix.rows, matrix.columns * 4))
    parts = matrix.quantizer.parts
    codes = np.frombuffer(data, np.uint8, count=matrix.rows * parts, offset=matrix.codes)
    centroids = _centroids(data, matrix.quantizer)
    norm_codes = norms = None
    if matrix.norms:
        norm_codes = np.frombuffer(data, np.uint8, count=matrix.rows, offset=matrix.norm_codes)
        (norms,) = _centroids(data, matrix.norms)
    return _QuantizedRows(codes.reshape(matrix.rows, parts), centroids, norm_codes, norms)


def _centroids(data: mmap.mmap, quantizer: Quantizer) -> list[Floats]:
    """Return the centroids of each part, float32[256, values]; the last may have fewer values."""
    values = np.frombuffer(
        data[quantizer.offset : quantizer.offset + quantizer.dim * 1024], dtype="<f4"
    ).astype(np.float32)
    cut = (quantizer.parts - 1) * quantizer.part_dim * 256
    tables = list(values[:cut].reshape(quantizer.parts - 1, 256, quantizer.part_dim))
    return [*tables, values[cut:].reshape(256, quantizer.last_dim)]


def _words(data: mmap.mmap, layout: Layout) -> ByteStrings:
    """Copy the words of the vocabulary; an entry is the word and AFTER_WORD bytes more."""
    ends = layout.entry_ends
    starts = np.concatenate(([layout.vocabulary], ends[:-1]))[: len(ends)]
    lengths = ends - starts - AFTER_WORD
    chars = np.frombuffer(data, dtype=np.uint8)[expand_ranges(starts, lengths)]
    return ByteStrings.from_chars(chars, offsets_from_lengths(lengths))
