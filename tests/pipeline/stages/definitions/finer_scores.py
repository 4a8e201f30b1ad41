"""The finer score of rank.rerank, pair by pair, for table.py."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.fasttext.catalogue_statistics import CatalogueStatistics
from tests.models.fasttext.plain_features import (
    document_count,
    features,
    idf,
    limited_weight,
    word_hash,
)

# Numbers by features, or by words.
Values = dict[tuple[str, int], float]
Squares = dict[str, float]


@dataclass
class FinerScores:
    """What pairs of items are compared by.

    Attributes:
        texts: of each item the tokens of its title, and those of its description.
        vectors: of each item, or None; the meaning, and then the projected letters.
        statistics: of the catalogue.
        description_weight: what a word of a description counts; one of a title counts 1.
    """

    texts: Sequence[tuple[list[str], list[str]]]
    vectors: Sequence[npt.NDArray[np.float32] | None]
    statistics: CatalogueStatistics
    description_weight: float

    def __post_init__(self) -> None:
        self.letters = [self._letters(*texts) for texts in self.texts]
        self.words = [self._squares(title) for title, _ in self.texts]
        self.codes = [
            {word: square for word, square in words.items() if self._is_code(word)}
            for words in self.words
        ]

    def of(self, place: int, other: int) -> float:
        """The score of an item's candidate."""
        score = self._cosine(place, other)
        for weight, titles in ((0.15, self.words), (0.1, self.codes)):
            own, shown = titles[place], titles[other]
            if own:
                shared = sum(square for word, square in own.items() if word in shown)
                score += weight * shared / sum(own.values())
        return score

    def _cosine(self, place: int, other: int) -> float:
        """The cosine of two vectors, but with the product of all letters."""
        left, right = self._parts(place), self._parts(other)
        meanings = float(left[0] @ right[0])
        letters = self.letters[place], self.letters[other]
        sizes = _size(letters[0]) * _size(letters[1])
        product = sum(value * letters[1].get(one, 0.0) for one, value in letters[0].items())
        lengths = float(np.linalg.norm(left[1]) * np.linalg.norm(right[1]))
        whole = math.prod(math.hypot(*map(np.linalg.norm, parts)) for parts in (left, right))
        return max(-1.0, min(1.0, (meanings + lengths * product / (sizes or 1)) / whole))

    def _parts(self, place: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The meaning, and the projected letters, of an item with a vector."""
        vector, dim = self.vectors[place], len(self.statistics.common_direction)
        assert vector is not None
        return vector[:dim].astype(np.float64), vector[dim:].astype(np.float64)

    def _letters(self, title: list[str], description: list[str]) -> Values:
        """The letters of an item."""
        total, body = self._sum(title), self._sum(description)
        weight = limited_weight(self.description_weight, _size(body), _size(total))
        for one, value in body.items():
            total[one] = total.get(one, 0.0) + weight * value
        return total

    def _sum(self, words: list[str]) -> Values:
        """The letters of words."""
        total: Values = {}
        for word, times in Counter(words).items():
            for table, number in features(word):
                added = (1 + math.log(times)) * idf(self.statistics, table, number)
                total[table, number] = total.get((table, number), 0.0) + added
        return total

    def _squares(self, title: list[str]) -> Squares:
        """The squared weights of the words of a title."""
        return {
            word: idf(self.statistics, "word_documents", word_hash(word)) ** 2
            for word in dict.fromkeys(title)
        }

    def _is_code(self, word: str) -> bool:
        """Whether a word has a digit, and few documents have the word."""
        count = document_count(self.statistics, "word_documents", word_hash(word))
        is_rare = count <= max(3, 0.001 * self.statistics.documents)
        return is_rare and any(digit in word for digit in "0123456789")


def _size(letters: Values) -> float:
    return math.sqrt(sum(value * value for value in letters.values()))
