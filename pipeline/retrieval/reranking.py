"""Re-ranking: the candidates of an item in the order of a finer score than the cosine.

Vectors are short, so the letters of an item are in them by a random projection, which adds noise to
each cosine. The vectors find the candidates; then the letters of each pair are compared exactly,
and what tells the same product from a similar one is added: the words and the codes of the item's
title that the candidate's title has too. The weights were measured: see benchmarks/README.md.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.fasttext.item_features import ItemFeatures, products
from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.retrieval.neighbor_values import neighbors_of, ranked_by
from pipeline.retrieval.ranking import Int64, rank_order, ties_by_id
from pipeline.retrieval.vectors import Float32, Float64, float16_rows, lengths, squared_norms
from pipeline.storage.list_schemas import CHOSEN

# What is added if all words of the item's title are in the candidate's, and if all its codes are.
_WORDS, _CODES = 0.15, 0.1

# Values of vectors that are multiplied at a time, in float32: 1 MB.
_VALUES = 1 << 18


@dataclass(frozen=True)
class ComparedItems:
    """Items that pairs are made of.

    Attributes:
        ids: string[n], distinct, or null.
        meaning: float32[n, meaning], the other part of their vectors, with values of float16.
        features: what they are compared by.
        norms: float64[n], the lengths of the vectors; 1 for zero vectors.
        letter_norms: float64[n], the lengths of their lexical parts.
    """

    ids: pa.Array
    meaning: Float32
    features: ItemFeatures
    norms: Float64
    letter_norms: Float64

    @classmethod
    def of(
        cls, ids: pa.Array, vectors: pa.Array, features: ItemFeatures, letters_from: int
    ) -> "ComparedItems":
        """Items with their vectors.

        Args:
            ids: string[n], distinct, or null.
            vectors: binary[n], float16.
            features: what the items are compared by.
            letters_from: where the lexical part of a vector begins.
        """
        halves = float16_rows(vectors)
        meaning = halves[:, :letters_from].astype(np.float32)
        letters = squared_norms(halves[:, letters_from:].astype(np.float32))
        norms = lengths(squared_norms(meaning) + letters)
        return cls(ids, meaning, features, norms, np.sqrt(letters))

    def positions(self, ids: pa.Array) -> Int64:
        """Where items are, all of which have to be there: int64[m]."""
        return np.asarray(pc.index_in(ids, self.ids)).astype(np.int64)


def rerank(rows: pa.RecordBatch, own: Int64, items: ComparedItems, depth: int) -> pa.RecordBatch:
    """Rank the first candidates of each item again.

    Args:
        rows: item_id and neighbors, best first.
        own: int64[n], the position in `items` of each row's item.
        items: those of the rows, and all candidates.
        depth: how many candidates of an item are ranked again; the others are left out.

    Returns:
        rows of CHOSEN, in the order of `rows`. `ranked_by` is the finer score, with the boosts of
        the pair; the ranks follow it, ties by id.
    """
    candidates = pc.list_slice(rows["neighbors"], 0, depth)
    row_of, neighbors = flatten_lists(candidates)
    ids, cosines = neighbors.field("similar_id"), neighbors.field("score").to_numpy()
    boosts = ranked_by(neighbors).to_numpy().astype(np.float64) - cosines
    scores = finer_scores(items, own[row_of], items.positions(ids))
    values = (scores + boosts).astype(np.float32)
    order = rank_order(row_of, values, ties_by_id(ids))
    structs = neighbors_of(ids.take(pa.array(order)), values[order], cosines[order])
    counts = np.bincount(row_of, minlength=rows.num_rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, structs).cast(CHOSEN.field("neighbors").type)
    return pa.RecordBatch.from_arrays([rows["item_id"], lists], schema=CHOSEN)


def finer_scores(items: ComparedItems, left: Int64, right: Int64) -> Float64:
    """The finer score of pairs.

    It is the cosine of the two vectors with the product of their lexical parts as it is without
    the projection, and then some for the words and the codes of the left item's title. It depends
    on the two items alone.

    Args:
        items: the items.
        left: int64[pairs], the position of the item.
        right: int64[pairs], that of its candidate.

    Returns:
        float64[pairs], from -1 to 1.25.
    """
    features, norms, letter_norms = items.features, items.norms, items.letter_norms
    letters = letter_norms[left] * letter_norms[right] * products(features.letters, left, right)
    meaning = _products(items.meaning, left, right)
    cosines = np.clip((meaning + letters) / (norms[left] * norms[right]), -1, 1)
    for rows, weight in ((features.words, _WORDS), (features.codes, _CODES)):
        own = rows.squared_lengths()[left]
        # Most titles have no codes.
        some = np.flatnonzero(own)
        cosines[some] += weight * products(rows, left[some], right[some]) / own[some]
    return cosines


def _products(vectors: Float32, left: Int64, right: Int64) -> Float64:
    """The products of pairs of vectors, each summed along its own row: float64[pairs]."""
    sums = np.zeros(len(left))
    step = max(1, _VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(left), step):
        block = slice(start, start + step)
        values = vectors.take(left[block], axis=0)
        values *= vectors.take(right[block], axis=0)
        np.add.reduce(values, axis=1, dtype=np.float64, out=sums[block])
    return sums
