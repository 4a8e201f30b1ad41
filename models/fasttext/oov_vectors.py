"""Vectors of words outside the vocabulary (OOV): means of their n-gram rows."""

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.ngrams import Ngrams
from models.fasttext.row_cache import RowCache
from models.fasttext.row_sums import Floats, normalize_rows, sum_widened_rows

_BLOCK_BYTES = 1 << 16


class OovVectors:
    """Computes vectors of words from n-gram rows.

    Attributes:
        cache: the vectors computed last.
    """

    def __init__(self, ngrams: Ngrams, rows: np.ndarray) -> None:
        """Prepare for one model.

        Args:
            ngrams: says which rows a word has.
            rows: float32 or float16[rows, dim].
        """
        self._ngrams = ngrams
        self._rows = rows
        self.cache = RowCache(self._compute, rows.shape[1])

    def vectors(self, words: ByteStrings) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the unit vectors of words, float32[n, dim], and which have one, bool[n]."""
        if len(self._rows) == 0:
            shape = (len(words), self._rows.shape[1])
            return np.zeros(shape, np.float32), np.zeros(len(words), bool)
        vectors = self.cache.rows(words)
        return vectors, np.asarray(vectors.any(axis=1))

    def _compute(self, words: ByteStrings) -> Floats:
        vectors = np.empty((len(words), self._rows.shape[1]), dtype=np.float32)
        for start, stop in words.blocks(_BLOCK_BYTES):
            indices, offsets = self._ngrams.word_rows(words.slice(start, stop))
            sums = sum_widened_rows(self._rows, indices, offsets)
            counts = np.maximum(np.diff(offsets), 1).astype(np.float32)
            vectors[start:stop] = sums * (np.float32(1) / counts)[:, None]
        normalize_rows(vectors)
        return vectors
