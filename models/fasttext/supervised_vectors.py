"""Sentence vectors of supervised models: means of the input rows of a line.

Rows are added one by one in the library's order, because the values of such models are so large
that another order gives a visibly different sum. Source: fastText's src/dictionary.cc (getLine,
addSubwords).
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.fasttext.bytestrings import expand_ranges, offsets_from_lengths
from models.fasttext.ngrams import END_OF_SENTENCE, hash32
from models.fasttext.row_sums import Floats, sum_widened_rows

if TYPE_CHECKING:
    from models.fasttext.bytestrings import ByteStrings
    from models.fasttext.model import Model
    from models.fasttext.token_batch import TokenBatch

# The library's default prefix, which is not stored in a model's file.
_LABEL_PREFIX = b"__label__"


class SupervisedVectors:
    """Computes means of the rows of words, their n-grams, the sentence end and word n-grams."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._first_ngram = model.header.first_ngram

    def embed(self, batch: "TokenBatch") -> Floats:
        """Return the library's vector of each token list as a line: float32[n, dim].

        An empty list has a zero row.
        """
        # A list of only empty tokens still gets the row of the sentence's end, so
        # that is added before empty tokens are removed.
        lines = batch.end_with(END_OF_SENTENCE)
        entries = self._model.vocabulary.find(lines.unique)
        is_label = np.where(
            entries < 0,
            lines.unique.start_with(_LABEL_PREFIX),
            entries >= self._model.header.nwords,
        )
        ignored = is_label | (lines.unique.lengths == 0)
        lines = lines.filter(~ignored[lines.codes])
        rows, offsets = self._word_rows(lines.unique, entries)
        starts, lengths = offsets[:-1][lines.codes], np.diff(offsets)[lines.codes]
        segment_offsets = lines.offsets
        if self._model.header.word_ngrams > 1:
            ngram_rows, ngram_offsets = self._model.ngrams.sentence_rows(
                hash32(lines.unique)[lines.codes], lines.offsets, self._model.header.word_ngrams
            )
            # The word n-grams of a line are one more segment of rows at its end.
            starts = np.insert(starts, lines.offsets[1:], len(rows) + ngram_offsets[:-1])
            lengths = np.insert(lengths, lines.offsets[1:], np.diff(ngram_offsets))
            rows = np.concatenate((rows, ngram_rows + self._first_ngram))
            segment_offsets = lines.offsets + np.arange(len(lines.offsets))
        line_offsets = offsets_from_lengths(lengths)[segment_offsets]
        out = sum_widened_rows(self._model.rows, rows[expand_ranges(starts, lengths)], line_offsets)
        out *= (np.float32(1) / np.maximum(np.diff(line_offsets), 1).astype(np.float32))[:, None]
        return out

    def _word_rows(
        self, words: "ByteStrings", entries: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return each word's rows, its own first if it is in the vocabulary, and their offsets."""
        rows, offsets = self._model.ngrams.word_rows(words)
        in_vocabulary = np.flatnonzero(entries >= 0)
        own_rows = entries[in_vocabulary]
        rows = np.insert(rows + self._first_ngram, offsets[:-1][in_vocabulary], own_rows)
        return rows, offsets + offsets_from_lengths(entries >= 0)
