"""Sentence vectors of unsupervised models: means of the unit vectors of words.

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
    """Computes means of unit vectors.

    Attributes:
        oov: vectors of words outside the vocabulary.
    """

    def __init__(self, model: "Model") -> None:
        self._model = model
        self.oov = OovVectors(model.ngrams, model.rows)

    def embed(self, batch: "TokenBatch") -> Floats:
        """Return the vector of each token list: float32[n, dim].

        Words without a vector count neither in the sum nor in the number of words; a list of such
        words only has a zero row.
        """
        unique, rows = batch.unique, self._model.vectors
        indices = self._model.vocabulary.find(unique)
        in_vocabulary = indices >= 0
        oov = np.flatnonzero(~in_vocabulary & (unique.lengths > 0))
        oov_rows, oov_has_vector = self.oov.vectors(unique.take(oov))
        has_vector = np.zeros(len(unique), dtype=bool)
        has_vector[in_vocabulary] = self._model.has_vector[indices[in_vocabulary]]
        has_vector[oov] = oov_has_vector
        if rows.dtype != np.float32:
            # Half-precision rows are widened once for each unique token.
            rows = rows[indices[in_vocabulary]].astype(np.float32)
            indices[in_vocabulary] = np.arange(len(rows))
        indices[oov] = np.arange(len(oov))

        counted = batch.filter(has_vector[batch.codes])
        weights = np.float32(1) / np.maximum(counted.lengths, 1).astype(np.float32)
        token_in_vocabulary = in_vocabulary[counted.codes]
        out = _weighted_sums(rows, indices, counted.filter(token_in_vocabulary), weights)
        if not token_in_vocabulary.all():
            out += _weighted_sums(oov_rows, indices, counted.filter(~token_in_vocabulary), weights)
        return out


def _weighted_sums(
    rows: Floats, indices: npt.NDArray[np.int64], batch: "TokenBatch", list_weights: Floats
) -> Floats:
    weights = np.repeat(list_weights, batch.lengths)
    return sum_rows(rows, indices[batch.codes], batch.offsets, weights)
