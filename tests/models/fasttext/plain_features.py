"""The letters of words, and their weights, written down plainly."""

import math

from models.fasttext.bytestrings import ByteStrings
from models.fasttext.catalogue_statistics import CatalogueStatistics

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def splitmix64(number: int) -> int:
    """The next output of splitmix64."""
    number = (number + STEP) & MASK
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
    return number ^ (number >> 31)


def fnv(text: str) -> int:
    """The library's hash: FNV-1a over bytes read as signed."""
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return value


def word_hash(word: str) -> int:
    return int(ByteStrings.from_list([word.encode()]).hash64()[0])


def features(word: str) -> list[tuple[str, int]]:
    """The features of a word and its n-grams: the table that counts each, and its hash."""
    text = f"<{word}>"
    ngrams = [text[i : i + n] for i in range(len(text)) for n in (2, 3) if i + n <= len(text)]
    hashes = [splitmix64((fnv(ngram) + 0xD1B54A32D192ED03) & MASK) for ngram in ngrams]
    ngram_features = [("ngram_documents", number) for number in hashes]
    return [("word_documents", word_hash(word)), *ngram_features]


def document_count(statistics: CatalogueStatistics, table: str, number: int) -> int:
    """How many documents have a feature, or another one on its slot."""
    counts = getattr(statistics, table)
    return min(int(counts[number % len(counts)]), statistics.documents)


def idf(statistics: CatalogueStatistics, table: str, number: int) -> float:
    count = document_count(statistics, table, number)
    return math.log((statistics.documents + 5) / (count + 4.5)) + 0.25


def limited_weight(weight: float, size: float, title_size: float) -> float:
    """The weight of a description or field; it adds at most twice what its title does.

    Args:
        weight: of its words.
        size: the length of the sum over its words.
        title_size: the length of the title's sum.
    """
    is_limited = title_size > 0 and weight * size > 2 * title_size
    return 2 * title_size / size if is_limited else weight
