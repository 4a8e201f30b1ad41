"""How often each item has each word, in its title, its description and each further field."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from models.fasttext import lexical_features
from models.fasttext.bytestrings import ByteStrings
from models.fasttext.embedder import FlatLists, token_blocks
from models.fasttext.hashing import Hashes
from models.fasttext.token_batch import TokenBatch

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ColumnCounts:
    """The words of n items, counted column by column.

    Attributes:
        words: the unique words of all columns.
        hashes: uint64[words], their features, ascending: the same words have one order in each
            batch.
        columns: of titles, descriptions and each further field float32[n, words]: 1 + log of how
            often an item has a word there, since repeated words say less than new ones.
    """

    words: ByteStrings
    hashes: Hashes
    columns: list[csr_matrix]

    @staticmethod
    def of(columns: Sequence[FlatLists]) -> "ColumnCounts":
        """Count the words of the flat lists of titles, descriptions and further fields."""
        size = len(columns[0][1]) - 1
        words, hashes, counts = _word_counts(_stacked(columns))
        places = (slice(n * size, (n + 1) * size) for n in range(len(columns)))
        return ColumnCounts(words, hashes, [counts[place] for place in places])

    def __len__(self) -> int:
        """Return the number of items."""
        return int(self.columns[0].shape[0])

    def sums(self, values: Float64s, weights: Sequence[float]) -> Float64s:
        """Return the sums of items' words: float64[n, k]; other items do not change them by a bit.

        Args:
            values: float64[words, k].
            weights: what each column counts.
        """
        sums = np.zeros((len(self), values.shape[1]))
        for column, weight in zip(self.columns, weights, strict=True):
            # In the order of an item's words.
            sums += np.asarray(column @ values) * weight
        return sums


def count_blocks(columns: Sequence[FlatLists]) -> Iterator[tuple[slice, ColumnCounts]]:
    """Cut items into blocks with a limited number of tokens; yield each one's place and counts."""
    ends = np.asarray(np.sum([offsets for _, offsets in columns], axis=0))
    for start, stop in token_blocks(ends):
        yield (
            slice(start, stop),
            ColumnCounts.of([_slice(column, start, stop) for column in columns]),
        )


def _word_counts(batch: TokenBatch) -> tuple[ByteStrings, Hashes, csr_matrix]:
    """Count the words of each list: words, hashes, and float32[lists, words]."""
    hashes = lexical_features.word_features(batch.unique)
    order = np.argsort(hashes, kind="stable")
    order = order[batch.unique.lengths[order] > 0]
    rank = np.full(len(hashes), -1, dtype=np.int32)
    rank[order] = np.arange(len(order))
    batch = batch.filter((rank >= 0)[batch.codes])
    ones = np.ones(len(batch.codes), dtype=np.float32)
    shape = (len(batch.lengths), len(order))
    counts = csr_matrix((ones, rank[batch.codes], batch.offsets), shape=shape)
    counts.sum_duplicates()
    repeated = np.flatnonzero(counts.data > 1)
    counts.data[repeated] = 1 + np.log(counts.data[repeated].astype(np.float64))
    return batch.unique.take(order), hashes[order], counts


def _stacked(columns: Sequence[FlatLists]) -> TokenBatch:
    """Return a batch of n titles, then n descriptions, then n values of each further field."""
    ends = np.cumsum([offsets[-1] for _, offsets in columns])
    later = [end + offsets[1:] for end, (_, offsets) in zip(ends, columns[1:], strict=False)]
    offsets = np.concatenate((columns[0][1], *later))
    return TokenBatch.from_arrow(pa.concat_arrays([tokens for tokens, _ in columns]), offsets)


def _slice(lists: FlatLists, start: int, stop: int) -> FlatLists:
    """Return the lists from start to stop."""
    tokens, offsets = lists
    first, last = int(offsets[start]), int(offsets[stop])
    return tokens.slice(first, last - first), offsets[start : stop + 1] - first
