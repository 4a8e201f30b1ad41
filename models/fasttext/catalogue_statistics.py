"""What a catalogue's words are worth: in how many documents each occurs, and what is common to all.

Words and n-grams are counted by their hashes in tables of bounded size: no vocabulary is needed,
and what was never seen is the rarest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from models.fasttext import lexical_features
from models.fasttext.lexical_features import Hashes
from models.fasttext.row_sums import Floats
from models.fasttext.token_batch import TokenBatch

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

# Counters of each table while counting; of a small catalogue fewer are kept.
TABLE_SIZE = 1 << 20
_COUNTERS_A_FEATURE = 4
# Documents that a word's count is raised by, so that words of one, two and three are much alike.
_MORE = 5
# What a word that is in every document is worth still, so that it is not nothing where there is
# no other.
_LEAST = 0.25


@dataclass(frozen=True)
class CatalogueStatistics:
    """Statistics of a catalogue, for one model.

    Attributes:
        documents: that were counted.
        words: int32[2^a]: of how many documents the words that fall on each place are.
        ngrams: int32[2^b], the same of n-grams.
        common: float32[dim], of unit length: the direction that documents' vectors have in common;
            zeros: none.
        phrases: tokens separated by spaces, 0 for every number: what shops put into titles of all
            kinds, and whoever makes the tokens leaves out.
    """

    documents: int
    words: Int32s
    ngrams: Int32s
    common: Floats
    phrases: tuple[str, ...] = ()

    def weights_of_words(self, hashes: Hashes) -> Floats:
        """float32[n]: how much each word tells: least if it is in every document."""
        return _weights(self.words, hashes, self.documents)

    def weights_of_ngrams(self, hashes: Hashes) -> Floats:
        """The same of n-grams."""
        return _weights(self.ngrams, hashes, self.documents)


def _weights(table: Int32s, hashes: Hashes, documents: int) -> Floats:
    """A smoothed inverse document frequency: log((n + 5) / (documents with it + 4.5)) + 0.25."""
    # Counts of words that fall together can be above the number of documents.
    counts = np.minimum(table[_places(hashes, len(table))], documents).astype(np.float64)
    rarity = np.log((documents + _MORE) / (counts + (_MORE - 0.5)))
    return (rarity + _LEAST).astype(np.float32)


def _places(hashes: Hashes, size: int) -> Int64s:
    return (hashes & np.uint64(size - 1)).astype(np.int64)


class DocumentCounter:
    """Counts documents.

    Attributes:
        documents: so far.
        words, ngrams: int64[TABLE_SIZE], see `CatalogueStatistics`.
    """

    def __init__(self) -> None:
        self.documents = 0
        self.words = np.zeros(TABLE_SIZE, dtype=np.int64)
        self.ngrams = np.zeros(TABLE_SIZE, dtype=np.int64)

    def add(self, batch: TokenBatch) -> None:
        """Count a batch of token lists, each a document; empty tokens are nothing."""
        batch = batch.keep((batch.unique.lengths > 0)[batch.codes])
        shape = (len(batch.lengths), len(batch.unique))
        ones = np.ones(len(batch.codes), dtype=np.int32)
        words = csr_matrix((ones, batch.codes.copy(), batch.offsets), shape=shape)
        # A document counts once, however often it has the word.
        words.sum_duplicates()
        _count(self.words, lexical_features.word_features(batch.unique), words)
        hashes, offsets = lexical_features.ngram_features(batch.unique)
        unique, codes = np.unique(hashes, return_inverse=True)
        ones = np.ones(len(codes), dtype=np.int32)
        parts = csr_matrix((ones, codes, offsets), shape=(len(batch.unique), len(unique)))
        _count(self.ngrams, unique, words @ parts)
        self.documents += len(batch.lengths)

    def finish(self, common: Floats) -> CatalogueStatistics:
        """The statistics, their tables cut to a size that fits what was counted."""
        return CatalogueStatistics(
            self.documents, _folded(self.words), _folded(self.ngrams), common
        )


def _count(table: Int64s, hashes: Hashes, documents: csr_matrix) -> None:
    counts = np.bincount(documents.indices, minlength=len(hashes))
    np.add.at(table, _places(hashes, len(table)), counts)


def _folded(table: Int64s) -> Int32s:
    """The same counts under as few bits of the hashes as leave most features a place alone."""
    wanted = _COUNTERS_A_FEATURE * int(np.count_nonzero(table))
    size = min(len(table), 1 << max(wanted - 1, 1).bit_length())
    folded = table.reshape(-1, size).sum(axis=0)
    return np.asarray(np.minimum(folded, np.iinfo(np.int32).max), dtype=np.int32)


def principal_direction(vectors: Floats) -> Floats:
    """The first principal direction of vectors, not centred: float32[dim].

    Args:
        vectors: float32[n, dim] of documents; those of zeros make no difference.
    """
    moments = vectors.T.astype(np.float64) @ vectors.astype(np.float64)
    values, directions = np.linalg.eigh(moments)
    first = directions[:, -1]
    # A direction and its opposite are the same; which comes is the library's whim.
    first = first * np.sign(first[np.abs(first).argmax()])
    return np.asarray(first * (values[-1] > 0), dtype=np.float32)
