"""Sentence vectors of unsupervised models: means of words' unit vectors.

Source: fastText's src/fasttext.cc (getSentenceVector, getWordVector).
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.fasttext.oov_vectors import OovVectors
from models.fasttext.row_sums import Floats, sum_rows

if TYPE_CHECKING:
    from models.fasttext.model import Model
    from models.fasttext.token_batch import TokenBatch


class UnsupervisedVectors:
    """Means of unit vectors.

    Attributes:
        unknown: vectors of words outside the vocabulary.
    """

    def __init__(self, model: "Model") -> None:
        self._model = model
        self.unknown = OovVectors(model.ngrams, model.rows)

    def embed(self, batch: "TokenBatch") -> Floats:
        """float32[n, dim]: words without a vector are out of sum and count; zeros if none has."""
        unique, rows = batch.unique, self._model.vectors
        places = self._model.vocabulary.find(unique)
        known = places >= 0
        new = np.flatnonzero(~known & (unique.lengths > 0))
        unknown_rows, has_unknown = self.unknown.vectors(unique.take(new))
        has_vector = np.zeros(len(unique), dtype=bool)
        has_vector[known] = self._model.has_vector[places[known]]
        has_vector[new] = has_unknown
        if rows.dtype != np.float32:
            # Half-precision rows are widened once for each unique token.
            rows = rows[places[known]].astype(np.float32)
            places[known] = np.arange(len(rows))
        places[new] = np.arange(len(new))

        counted = batch.keep(has_vector[batch.codes])
        shares = np.float32(1) / np.maximum(counted.lengths, 1).astype(np.float32)
        in_vocabulary = known[counted.codes]
        out = _weighted(rows, places, counted.keep(in_vocabulary), shares)
        if not in_vocabulary.all():
            out += _weighted(unknown_rows, places, counted.keep(~in_vocabulary), shares)
        return out


def _weighted(
    rows: Floats, places: npt.NDArray[np.int64], batch: "TokenBatch", shares: Floats
) -> Floats:
    weights = np.repeat(shares, batch.lengths)
    return sum_rows(rows, places[batch.codes], batch.offsets, weights)
