"""Sentence vectors of supervised models: means of a line's input rows.

Rows are added one by one in the library's order, because such models' values are so large that
another order differs visibly. Source: fastText's src/dictionary.cc (getLine, addSubwords).
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

# The library's default prefix, which is not in a model's file.
_LABEL = b"__label__"


class SupervisedVectors:
    """Means of the rows of words, their n-grams, the end of the sentence, and word n-grams."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._first_ngram = model.header.first_ngram

    def embed(self, batch: "TokenBatch") -> Floats:
        """float32[n, dim]: the library's vector of each list as a line; zeros of an empty list."""
        # Empty tokens leave no trace in a line, but the line is there: so its end comes first.
        lines = batch.end_with(END_OF_SENTENCE)
        entries = self._model.vocabulary.find(lines.unique)
        is_label = np.where(
            entries < 0, lines.unique.start_with(_LABEL), entries >= self._model.header.nwords
        )
        left_out = is_label | (lines.unique.lengths == 0)
        lines = lines.keep(~left_out[lines.codes])
        rows, offsets = self._rows_of_words(lines.unique, entries)
        starts, lengths = offsets[:-1][lines.codes], np.diff(offsets)[lines.codes]
        if self._model.header.word_ngrams > 1:
            more, more_offsets = self._model.ngrams.of_sentences(
                hash32(lines.unique)[lines.codes], lines.offsets, self._model.header.word_ngrams
            )
            # A line's word n-grams are one more run of rows at its end.
            starts = np.insert(starts, lines.offsets[1:], len(rows) + more_offsets[:-1])
            lengths = np.insert(lengths, lines.offsets[1:], np.diff(more_offsets))
            rows = np.concatenate((rows, more + self._first_ngram))
            line_runs = lines.offsets + np.arange(len(lines.offsets))
        else:
            line_runs = lines.offsets
        line_rows = offsets_from_lengths(lengths)[line_runs]
        out = sum_widened_rows(self._model.rows, rows[expand_ranges(starts, lengths)], line_rows)
        out *= (np.float32(1) / np.maximum(np.diff(line_rows), 1).astype(np.float32))[:, None]
        return out

    def _rows_of_words(
        self, words: "ByteStrings", entries: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Each word's rows, its own first if it is in the vocabulary, and where they start."""
        rows, offsets = self._model.ngrams.of_words(words)
        known = np.flatnonzero(entries >= 0)
        rows = np.insert(rows + self._first_ngram, offsets[:-1][known], entries[known])
        return rows, offsets + offsets_from_lengths(entries >= 0)
