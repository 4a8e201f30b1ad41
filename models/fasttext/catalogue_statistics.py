"""Statistics of a catalogue: document frequencies, and the direction common to all documents.

Words and n-grams are counted by their hashes in tables of limited size. This needs no vocabulary,
and a word that was never counted gets the weight of the rarest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from models.errors import ModelError
from models.fasttext import lexical_features
from models.fasttext.hashing import Hashes, table_slots
from models.fasttext.row_sums import Floats
from models.fasttext.token_batch import TokenBatch

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

# Slots of each table while documents are counted; a small catalogue's tables are cut afterwards.
TABLE_SIZE = 1 << 20
_SLOTS_A_FEATURE = 4
# Added to the number of documents with a word, so that words of one, two and three documents have
# similar weights.
_SMOOTHING = 5
# Added to each weight, so that a text whose words are all in every document still gets a vector.
_MIN_WEIGHT = 0.25


@dataclass(frozen=True)
class CatalogueStatistics:
    """Statistics of a catalogue, for one model.

    Attributes:
        documents: number of documents that were counted.
        word_documents: int32[2^a]: for each slot, the documents with a word that falls on it.
        ngram_documents: int32[2^b], the same for n-grams.
        common_direction: float32[dim], the unit vector that documents have in common; zeros if
            there is none.
        phrases: promotional phrases, to be left out of titles: tokens separated by spaces, with 0
            in place of each number.
    """

    documents: int
    word_documents: Int32s
    ngram_documents: Int32s
    common_direction: Floats
    phrases: tuple[str, ...] = ()

    def word_weights(self, features: Hashes) -> Floats:
        """Return the weight of each word, lower if more documents have it: float32[n]."""
        return _weights(self.word_documents, features, self.documents)

    def word_document_counts(self, features: Hashes) -> Int64s:
        """Return how many documents have each word: int64[n].

        Words that fall on one slot are counted together.
        """
        return _counts(self.word_documents, features, self.documents)

    def ngram_weights(self, features: Hashes) -> Floats:
        """Return the weight of each n-gram: float32[n]."""
        return _weights(self.ngram_documents, features, self.documents)

    def known_shares(self, ngrams: Hashes, offsets: Int64s) -> Floats:
        """Return how many of each word's n-grams the catalogue has: float32[n], 0 to 1.

        A new n-gram may fall on the slot of another one. So the share is counted from what words
        get of which the catalogue has nothing: the used share of the slots, and one standard
        deviation of it more.

        Args:
            ngrams: uint64[k], the n-grams' features, word after word.
            offsets: int64[n + 1], where each word's start and the last one's end.
        """
        used = self.ngram_documents > 0
        by_chance = np.count_nonzero(used) / len(used)
        hits = used[table_slots(ngrams, len(used))]
        sums = np.concatenate(([0], np.cumsum(hits)))
        counts = np.maximum(np.diff(offsets), 1)
        shares = (sums[offsets[1:]] - sums[offsets[:-1]]) / counts
        most = by_chance + np.sqrt(by_chance * (1 - by_chance) / counts)
        corrected = (shares - most) / np.maximum(1 - most, 1 / len(used))
        return np.where(shares == 1, 1, np.clip(corrected, 0, 1)).astype(np.float32)


def _weights(table: Int32s, features: Hashes, documents: int) -> Floats:
    """A smoothed inverse document frequency: log((n + 5) / (documents with it + 4.5)) + 0.25."""
    return document_weights(_counts(table, features, documents), documents).astype(np.float32)


def _counts(table: Int32s, features: Hashes, documents: int) -> Int64s:
    # The count of features that share a slot can exceed the number of documents.
    counts = np.minimum(table[table_slots(features, len(table))], documents)
    return np.asarray(counts, dtype=np.int64)


def document_weights(counts: npt.NDArray[np.integer], documents: int) -> npt.NDArray[np.float64]:
    """Return the weights of words that `counts` of all `documents` have: float64[n]."""
    idf = np.log((documents + _SMOOTHING) / (counts.astype(np.float64) + (_SMOOTHING - 0.5)))
    return np.asarray(idf + _MIN_WEIGHT)


class DocumentCounter:
    """Counts documents.

    Attributes:
        documents: number of documents so far.
        word_documents, ngram_documents: int64[TABLE_SIZE], see `CatalogueStatistics`.
    """

    def __init__(self) -> None:
        self.documents = 0
        self.word_documents = np.zeros(TABLE_SIZE, dtype=np.int64)
        self.ngram_documents = np.zeros(TABLE_SIZE, dtype=np.int64)

    def add(self, batch: TokenBatch) -> None:
        """Count the token lists of a batch, each a document; empty tokens are ignored."""
        batch = batch.filter((batch.unique.lengths > 0)[batch.codes])
        shape = (len(batch.lengths), len(batch.unique))
        ones = np.ones(len(batch.codes), dtype=np.int32)
        document_words = csr_matrix((ones, batch.codes.copy(), batch.offsets), shape=shape)
        # A document counts once for a word, however often it has the word.
        document_words.sum_duplicates()
        words = lexical_features.word_features(batch.unique)
        _add_counts(self.word_documents, words, document_words)
        features, offsets = lexical_features.ngram_features(batch.unique)
        ngrams, codes = np.unique(features, return_inverse=True)
        ones = np.ones(len(codes), dtype=np.int32)
        word_ngrams = csr_matrix((ones, codes, offsets), shape=(len(batch.unique), len(ngrams)))
        _add_counts(self.ngram_documents, ngrams, document_words @ word_ngrams)
        self.documents += len(batch.lengths)

    def finish(self, common_direction: Floats) -> CatalogueStatistics:
        """Return the statistics, with tables cut to the size that the counts need."""
        return CatalogueStatistics(
            self.documents,
            _folded(self.word_documents),
            _folded(self.ngram_documents),
            common_direction,
        )


def _add_counts(table: Int64s, features: Hashes, document_features: csr_matrix) -> None:
    counts = np.bincount(document_features.indices, minlength=len(features))
    np.add.at(table, table_slots(features, len(table)), counts)


def _folded(table: Int64s) -> Int32s:
    """Return the counts in the smallest table where most features still have their own slot."""
    slots = _SLOTS_A_FEATURE * int(np.count_nonzero(table))
    size = min(len(table), 1 << max(slots - 1, 1).bit_length())
    folded = table.reshape(-1, size).sum(axis=0)
    return np.asarray(np.minimum(folded, np.iinfo(np.int32).max), dtype=np.int32)


def principal_direction(vectors: Floats) -> Floats:
    """Return the first principal direction of vectors, not centred: float32[dim].

    Args:
        vectors: float32[n, dim] of documents; rows of zeros change nothing.
    """
    moments = vectors.T.astype(np.float64) @ vectors.astype(np.float64)
    values, directions = np.linalg.eigh(moments)
    first = directions[:, -1]
    # The sign of a direction is arbitrary: the largest value is made positive.
    first = first * np.sign(first[np.abs(first).argmax()])
    return np.asarray(first * (values[-1] > 0), dtype=np.float32)


def required_statistics(statistics: CatalogueStatistics | None) -> CatalogueStatistics:
    """The statistics that a model carries.

    Raises:
        ModelError: it carries none.
    """
    if statistics is None:
        raise ModelError(
            "the model carries no statistics of a catalogue, which every method but mean needs; "
            "use it as model.path of a store, which counts them"
        )
    return statistics
