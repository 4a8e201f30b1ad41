"""Features of items one by one, without the projection that makes vectors of them short.

Two items are compared by them exactly: by their letters, by the words of their titles, and by the
codes in their titles, such as model numbers. Vectors of the items find the candidates; there are
too many pairs to compare all of them like this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags

from models.fasttext import lexical_features
from models.fasttext.body_weights import limited_weights
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics
from models.fasttext.column_counts import ColumnCounts
from models.fasttext.hashing import Hashes
from models.fasttext.row_sums import Floats

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

# A code has a digit, and so few documents have it, or this share of them.
_CODE_DOCUMENTS, _CODE_SHARE = 3, 0.001
# Features of pairs that are multiplied at a time.
_PAIR_FEATURES = 1 << 22
# Bits that a hash loses as the number of a column, which is an int64.
_HASH_SHIFT = 2


@dataclass(frozen=True)
class FeatureRows:
    """Rows of features, each a number and a value.

    Attributes:
        features: int64[k], row after row, ascending in each row: 62 bits of their hashes.
        values: float32[k].
        offsets: int64[n + 1], where each row starts and the last one ends.
    """

    features: Int64s
    values: Floats
    offsets: Int64s

    @classmethod
    def of(cls, hashes: Hashes, rows: csr_matrix) -> "FeatureRows":
        """Rows of a sparse matrix.

        Args:
            hashes: uint64[m], ascending: the feature of each column.
            rows: float32[n, m].
        """
        rows.sort_indices()
        features = (hashes >> np.uint64(_HASH_SHIFT)).astype(np.int64)[rows.indices]
        return cls(features, rows.data.astype(np.float32), rows.indptr.astype(np.int64))

    @classmethod
    def concat(cls, parts: Sequence["FeatureRows"]) -> "FeatureRows":
        """The rows of all parts, of which there is one at least."""
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    def squared_lengths(self) -> Float64s:
        """The sum of each row's squared values: float64[n]."""
        squares = self.values.astype(np.float64) ** 2
        return np.asarray(_sum_rows(squares, self.offsets))

    def matrix(self) -> csr_matrix:
        """The rows as a sparse matrix.

        It has 2**62 columns: nothing may be made for each of them, as SciPy's sums along rows do,
        and its products where a row has a feature twice.
        """
        shape = (len(self.offsets) - 1, 1 << (64 - _HASH_SHIFT))
        return csr_matrix((self.values, self.features, self.offsets), shape=shape)


def products(rows: FeatureRows, left: Int64s, right: Int64s) -> Float64s:
    """The products of pairs of rows; each is summed in the order of the features.

    Args:
        rows: the rows.
        left: int64[pairs], the position of one row of each pair.
        right: int64[pairs], that of the other.

    Returns:
        float64[pairs].
    """
    matrix, sizes = rows.matrix(), np.diff(rows.offsets)
    sums = np.zeros(len(left))
    ends = np.cumsum(sizes[left] + sizes[right])
    start = 0
    while start < len(left):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIR_FEATURES, side="right")))
        shared = matrix[left[start:stop]].multiply(matrix[right[start:stop]]).tocsr()
        sums[start:stop] = _sum_rows(shared.data.astype(np.float64), shared.indptr)
        start = stop
    return sums


def _sum_rows(values: Float64s, offsets: npt.NDArray[np.integer]) -> Float64s:
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    # Without values NumPy counts in integers.
    return np.bincount(row, weights=values, minlength=len(offsets) - 1).astype(np.float64)


@dataclass(frozen=True)
class ItemFeatures:
    """The features of n items.

    Attributes:
        letters: the letters of title, description and fields, of which the lexical part of a
            vector is a projection; rows of length 1, or without features.
        words: the words of the title, each once, with its weight.
        codes: those of them that are codes: they have a digit, and few documents have them.
    """

    letters: FeatureRows
    words: FeatureRows
    codes: FeatureRows

    @classmethod
    def of(
        cls, counts: ColumnCounts, weights: Sequence[float], statistics: CatalogueStatistics
    ) -> "ItemFeatures":
        """The features of items by their words.

        Args:
            counts: of the words in titles, descriptions and further fields.
            weights: of a word in each of these.
            statistics: of the catalogue.
        """
        titles, *bodies = counts.columns
        title_weight, *body_weights = weights
        hashes, letters = _letters_of_words(counts.words, counts.hashes, statistics)
        sums = titles @ letters * np.float32(title_weight)
        title_norms = _lengths(sums)
        for column, body_weight in zip(bodies, body_weights, strict=True):
            added = column @ letters
            body = limited_weights(body_weight, _lengths(added), title_norms)
            sums = sums + _scaled(added, body)
        norms = _lengths(sums)
        factors = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
        rows = FeatureRows.of(hashes, _scaled(sums, factors))
        return cls(rows, *_title_features(counts, statistics))

    @classmethod
    def concat(cls, parts: Sequence["ItemFeatures"]) -> "ItemFeatures":
        """The features of the items of all parts, of which there is one at least."""
        names = ("letters", "words", "codes")
        return cls(*(FeatureRows.concat([getattr(part, n) for part in parts]) for n in names))


def _title_features(
    counts: ColumnCounts, statistics: CatalogueStatistics
) -> tuple[FeatureRows, FeatureRows]:
    """The words and the codes of titles; see `ItemFeatures`."""
    titles = counts.columns[0].copy()
    weights = statistics.word_weights(counts.hashes)
    titles.data = weights[titles.indices]
    most = max(_CODE_DOCUMENTS, int(_CODE_SHARE * statistics.documents))
    is_rare = statistics.word_document_counts(counts.hashes) <= most
    is_code = (_have_digits(counts.words) & is_rare)[titles.indices]
    codes = titles.copy()
    codes.data = np.where(is_code, titles.data, np.float32(0))
    codes.eliminate_zeros()
    return FeatureRows.of(counts.hashes, titles), FeatureRows.of(counts.hashes, codes)


def _have_digits(words: ByteStrings) -> npt.NDArray[np.bool_]:
    is_digit = (words.chars >= ord("0")) & (words.chars <= ord("9"))
    before = np.concatenate([[0], np.cumsum(is_digit)])
    return np.asarray(before[words.offsets[1:]] > before[words.offsets[:-1]])


def _letters_of_words(
    words: ByteStrings, hashes: Hashes, statistics: CatalogueStatistics
) -> tuple[Hashes, csr_matrix]:
    """The letters of words.

    Args:
        words: m different words.
        hashes: uint64[m], their features.
        statistics: give the weights.

    Returns:
        uint64[k], the features, ascending, and float32[m, k], what each word has of them.
    """
    weights, ngrams = statistics.word_weights(hashes), lexical_features.ngram_features(words)
    features, weights, offsets = weighted_letters(hashes, weights, *ngrams, statistics)
    distinct, columns = np.unique(features, return_inverse=True)
    letters = csr_matrix((weights, columns, offsets), shape=(len(words), len(distinct)))
    letters.sum_duplicates()
    return distinct, letters


def weighted_letters(
    hashes: Hashes,
    weights: Floats,
    ngrams: Hashes,
    offsets: Int64s,
    statistics: CatalogueStatistics,
) -> tuple[Hashes, Floats, Int64s]:
    """The features of words, first each word's own and then its n-grams, and their weights.

    Args:
        hashes: uint64[n], the words' own features.
        weights: float32[n], theirs.
        ngrams: uint64[j], the features of their n-grams, word after word.
        offsets: int64[n + 1], where each word's n-grams start and the last one's end.
        statistics: give the n-grams' weights.

    Returns:
        uint64[n + j], float32[n + j], and int64[n + 1], where each word's start.
    """
    starts = offsets[:-1]
    features = np.insert(ngrams, starts, hashes)
    feature_weights = np.insert(statistics.ngram_weights(ngrams), starts, weights)
    return features, feature_weights, offsets + np.arange(len(offsets))


def _scaled(rows: csr_matrix, factors: Floats) -> csr_matrix:
    """Each row of float32[n, m] times its factor, float32[n]."""
    return csr_matrix(diags(factors, dtype=np.float32) @ rows)


def _lengths(rows: csr_matrix) -> Floats:
    """The length of each row: float32[n]."""
    rows.sort_indices()
    squares = rows.data.astype(np.float64) ** 2
    return np.asarray(np.sqrt(_sum_rows(squares, rows.indptr)), dtype=np.float32)
