"""How long each part of an item's blended vector is: its share of a cosine.

The more words an item has, the more of its meaning is taken from a distilled model that stands
beside the other: the encoder, of which it was made, knows more of prose, and fastText of names.
"""

from collections.abc import Sequence

import numpy as np

from models.fasttext.column_counts import ColumnCounts
from models.fasttext.row_sums import Floats

# An item with so many words, each counted once a column, takes half of its meaning from the
# distilled model; see benchmarks/README.md.
_HALF_DISTILLED = 20


def part_lengths(
    word_weights: Floats,
    known: Floats,
    counts: ColumnCounts,
    column_weights: Sequence[float],
    lexical_weight: float | None,
) -> list[Floats]:
    """Return the lengths of the parts of n items' vectors: of each part float32[n].

    The parts are that of the model, that of a distilled model if there is one, and the letters.

    Args:
        word_weights: float32[words], inverse document frequencies.
        known: float32[words, models], how known each word is to each model, 0 to 1.
        counts: of the words.
        column_weights: of a word in titles, descriptions and each further field.
        lexical_weight: share of the letters; None if there are none.
    """
    shares = _known_shares(word_weights, known, counts, column_weights)
    lexical = lexical_weight or 0.0
    letters = np.full(len(counts), lexical**0.5, dtype=np.float32)
    if shares.shape[1] == 1:
        return [np.asarray((1 - lexical) ** 0.5 * shares[:, 0], dtype=np.float32), letters]
    # A column that weighs nothing changes nothing.
    counted = zip(counts.columns, column_weights, strict=True)
    words = sum(np.diff(column.indptr) * (weight > 0) for column, weight in counted)
    # What the distilled model does not know is left to the other.
    distilled = shares[:, 1] * (words / (words + _HALF_DISTILLED))
    first = np.sqrt((1 - lexical) * (1 - distilled)) * shares[:, 0]
    second = np.sqrt((1 - lexical) * distilled)
    return [np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32), letters]


def _known_shares(
    word_weights: Floats, known: Floats, counts: ColumnCounts, column_weights: Sequence[float]
) -> Floats:
    """Return how much of each item's words each model knows: float32[n, models], 0 to 1."""
    weights = word_weights[:, None]
    values = np.concatenate((weights, weights * known), axis=1)
    sums = counts.sums(values.astype(np.float64), column_weights)
    all_words, known_words = sums[:, :1], sums[:, 1:]
    shares = np.divide(known_words, all_words, out=np.ones_like(known_words), where=all_words > 0)
    return np.asarray(shares, dtype=np.float32)
