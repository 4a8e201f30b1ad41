"""What a packed model is made of: word vectors, n-gram rows and words, some thousand at a time."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.fasttext.binary_format import check_finite, map_file, read_layout
from models.fasttext.binary_layout import Dense, Layout, Quantized, Quantizer
from models.fasttext.bytestrings import ByteStrings, expand_ranges, offsets_from_lengths
from models.fasttext.ngrams import Ngrams
from models.fasttext.row_sums import Floats, sum_decoded_rows, unit

_BLOCK_BYTES = 1 << 17
_BLOCK_ROWS = 1 << 12
_TOUCHED_ROWS = 1 << 8


@dataclass(frozen=True)
class Header:
    """What a model is.

    Attributes:
        model: "cbow", "skipgram", "supervised", or "vectors" for word vectors without n-grams.
        dim: length of a vector.
        nwords: words in the vocabulary; entries after them are labels.
        bucket: what n-grams' hashes are taken modulo.
        minn, maxn: shortest and longest n-gram, in characters; maxn 0: none.
        word_ngrams: longest n-gram of words, of a supervised model; 1: none.
        source_sha256: of the file that the model was made of.
        text_fingerprint: of the rules that made the tokens that it was trained on, if known.
    """

    model: str
    dim: int
    nwords: int
    bucket: int
    minn: int
    maxn: int
    word_ngrams: int
    source_sha256: str = ""
    text_fingerprint: str = ""

    @property
    def supervised(self) -> bool:
        """Whether sentence vectors are means of raw rows and not of unit vectors."""
        return self.model == "supervised"

    @property
    def first_ngram(self) -> int:
        """How many of the packed rows are words' and not n-grams'."""
        return self.nwords if self.supervised else 0


class Source(Protocol):
    """A model file that can be packed. `words` is whole once `vectors` is through."""

    @property
    def header(self) -> Header:
        """What the model is."""

    @property
    def words(self) -> ByteStrings:
        """The vocabulary, labels after the words."""

    @property
    def kept(self) -> npt.NDArray[np.int32] | None:
        """int32[k], ascending: the n-gram remainders that have rows; None: each has."""

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """The entries' unit vectors, float32[k, dim], and whether each has one, bool[k].

        None of a supervised model, which adds up input rows.
        """

    def rows(self) -> Iterator[Floats]:
        """The input rows, float32[k, dim]: n-grams'; of a supervised model first the words'."""


class BinarySource:
    """A .bin or .ftz file as the source of a packed model."""

    kept: npt.NDArray[np.int32] | None

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
        self.kept = None
        # Where n-gram rows are in the input matrix, in the order of `kept`.
        self._ngram_places = layout.nwords + np.arange(layout.bucket)
        if layout.pruned is not None:
            order = np.argsort(layout.pruned[:, 0], kind="stable")
            self.kept = layout.pruned[order, 0]
            self._ngram_places = layout.nwords + layout.pruned[order, 1].astype(np.int64)

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """See `Source`.

        Raises:
            ModelError: rows are too large to be added up.
        """
        if self.header.supervised:
            return
        layout = self._layout
        ngrams = Ngrams(layout.minn, layout.maxn, layout.bucket, self.kept)
        if len(self.words) > self._matrix.count:
            raise ModelError(f"{self._path}: holds labels that have no row; train without labels")
        for start, stop in self.words.blocks(_BLOCK_BYTES):
            places, offsets = ngrams.of_words(self.words.slice(start, stop))
            # Its own row comes first. The library takes a label's from among the n-grams'.
            own = np.arange(start, stop)
            places = np.insert(self._ngram_places[places], offsets[:-1], own)
            offsets = offsets + np.arange(len(offsets))
            vectors = sum_decoded_rows(self._take, places, offsets, layout.dim)
            vectors *= (np.float32(1) / np.diff(offsets).astype(np.float32))[:, None]
            has_vector = unit(vectors)
            if not np.isfinite(vectors).all():
                raise ModelError(f"{self._path}: values too large to be added up; train it again")
            yield vectors, has_vector

    def rows(self) -> Iterator[Floats]:
        """See `Source`."""
        every = [self._ngram_places]
        if self.header.supervised:
            every.insert(0, np.arange(self._layout.nwords))
        for places in every:
            for start in range(0, len(places), _BLOCK_ROWS):
                yield self._take(places[start : start + _BLOCK_ROWS])

    def _take(self, places: npt.NDArray[np.int64]) -> Floats:
        rows = np.empty((len(places), self._layout.dim), dtype=np.float32)
        for start in range(0, len(places), _TOUCHED_ROWS):
            some = slice(start, start + _TOUCHED_ROWS)
            rows[some] = self._matrix.take(places[some])
            # The system maps up to 2 MiB around a row, and all of that would count as this
            # process's memory: that of a model of several GB after some thousand rows.
            self._data.madvise(mmap.MADV_DONTNEED)
        return rows


@dataclass(frozen=True)
class _DenseRows:
    """Rows of a dense matrix, as bytes: in the file they are not aligned."""

    values: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        return len(self.values)

    def take(self, places: npt.NDArray[np.int64]) -> Floats:
        return self.values[places].view("<f4").astype(np.float32, copy=False)


@dataclass(frozen=True)
class _QuantizedRows:
    """Rows that are decoded: each part's centroid, times the norm's."""

    codes: npt.NDArray[np.uint8]
    centroids: list[Floats]
    norm_codes: npt.NDArray[np.uint8] | None
    norms: Floats | None

    @property
    def count(self) -> int:
        return len(self.codes)

    def take(self, places: npt.NDArray[np.int64]) -> Floats:
        codes = self.codes[places]
        parts = [table[codes[:, part]] for part, table in enumerate(self.centroids)]
        rows = np.concatenate(parts, axis=1)
        if self.norm_codes is not None and self.norms is not None:
            rows *= self.norms[self.norm_codes[places]]
        return rows


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
    """float32[256, values] of each part; the last may have fewer values."""
    values = np.frombuffer(
        data[quantizer.offset : quantizer.offset + quantizer.dim * 1024], dtype="<f4"
    ).astype(np.float32)
    cut = (quantizer.parts - 1) * quantizer.part_dim * 256
    tables = list(values[:cut].reshape(quantizer.parts - 1, 256, quantizer.part_dim))
    return [*tables, values[cut:].reshape(256, quantizer.last_dim)]


def _words(data: mmap.mmap, layout: Layout) -> ByteStrings:
    """The vocabulary's words; an entry is the word and 10 bytes more."""
    ends = layout.entry_ends
    starts = np.concatenate(([layout.vocabulary], ends[:-1]))[: len(ends)]
    lengths = ends - starts - 10
    chars = np.frombuffer(data, dtype=np.uint8)[expand_ranges(starts, lengths)]
    return ByteStrings.from_chars(chars, offsets_from_lengths(lengths))
