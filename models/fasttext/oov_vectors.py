"""Vectors of words outside the vocabulary."""

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.ngrams import Ngrams
from models.fasttext.row_cache import RowCache
from models.fasttext.row_sums import Floats, sum_widened_rows, unit

_BLOCK_BYTES = 1 << 16


class OovVectors:
    """Makes vectors of words out of n-gram rows.

    Attributes:
        kept: the last ones made.
    """

    def __init__(self, ngrams: Ngrams, rows: np.ndarray) -> None:
        """Prepare for one model.

        Args:
            ngrams: which rows a word has.
            rows: float32 or float16[rows, dim].
        """
        self._ngrams = ngrams
        self._rows = rows
        self.kept = RowCache(self._make, rows.shape[1])

    def vectors(self, words: ByteStrings) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The words' unit vectors, float32[n, dim], and whether each has one, bool[n]."""
        if len(self._rows) == 0:
            shape = (len(words), self._rows.shape[1])
            return np.zeros(shape, np.float32), np.zeros(len(words), bool)
        vectors = self.kept.rows(words)
        return vectors, np.asarray(vectors.any(axis=1))

    def _make(self, words: ByteStrings) -> Floats:
        vectors = np.empty((len(words), self._rows.shape[1]), dtype=np.float32)
        for start, stop in words.blocks(_BLOCK_BYTES):
            places, offsets = self._ngrams.of_words(words.slice(start, stop))
            sums = sum_widened_rows(self._rows, places, offsets)
            counts = np.maximum(np.diff(offsets), 1).astype(np.float32)
            vectors[start:stop] = sums * (np.float32(1) / counts)[:, None]
        unit(vectors)
        return vectors
