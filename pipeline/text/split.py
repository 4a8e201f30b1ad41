"""Splitting long text into pieces that the tokenizer accepts."""

import re
import unicodedata
from collections.abc import Iterator

# SudachiPy's limits are 49,149 bytes of input and 65,535 after its own normalisation.
LIMIT_BYTES = 30_000
_SENTENCE = re.compile(r"[^。．！？!?\n]*[。．！？!?\n]+|[^。．！？!?\n]+")
_WORD = re.compile(r"\S*\s+|\S+")


def normalized_bytes(text: str) -> int:
    """Length in UTF-8 of the text, or of its normalised form if that is longer."""
    normalized = unicodedata.normalize("NFKC", text.lower())
    return max(len(text.encode()), len(normalized.encode()))


def split_text(text: str, limit: int = LIMIT_BYTES) -> Iterator[str]:
    """Split a text at ends of sentences, else at spaces, else anywhere; the pieces add up to it.

    Args:
        text: any text.
        limit: bytes that a piece may have once normalised; at least 256.
    """
    if len(text) * 4 <= limit and normalized_bytes(text) <= limit:
        if text:
            yield text
        return
    piece, size = "", 0
    for unit in _units(text, limit):
        unit_size = normalized_bytes(unit)
        if piece and size + unit_size > limit:
            yield piece
            piece, size = "", 0
        piece += unit
        size += unit_size
    if piece:
        yield piece


def _units(text: str, limit: int) -> Iterator[str]:
    """Sentences; the words of those that are too long; runs of words that are still too long."""
    for sentence in _SENTENCE.findall(text):
        if normalized_bytes(sentence) <= limit:
            yield sentence
            continue
        for word in _WORD.findall(sentence):
            if normalized_bytes(word) <= limit:
                yield word
            else:
                # One character becomes at most 18 (NFKC of U+FDFA), 3 bytes each.
                step = max(1, limit // 64)
                yield from (word[i : i + step] for i in range(0, len(word), step))
