"""Words of scripts that SudachiPy does not know: Korean, Thai, Arabic, Hebrew, rare kanji.

SudachiPy returns a whole run of such characters, with the script's own punctuation, as one symbol.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise
from typing import Literal

# Thai, Lao, Tibetan, Burmese, Khmer, Tai, Balinese and Javanese have no spaces between words.
# Korean has, but compounds are written with and without. The last are kanji outside the basic
# plane.
_PAIRED = (
    range(0x0E00, 0x10A0),
    range(0x1100, 0x1200),
    range(0x1780, 0x1800),
    range(0x1950, 0x1AB0),
    range(0x1B00, 0x1B80),
    range(0xA980, 0xA9E0),
    range(0xAA60, 0xAAE0),
    range(0xAC00, 0xD7B0),
    range(0x20000, 0x40000),
)
_KANA = range(0x3041, 0x3100)
_Kind = Literal["letter", "paired letter", "mark", "other"]
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lo"})


def has_letter(text: str) -> bool:
    """Whether a text holds a letter that can be a word: no small kana, no modifier."""
    return any(
        unicodedata.category(character) in _LETTERS and ord(character) not in _KANA
        for character in text
    )


def words(text: str) -> Iterator[str]:
    """The words of a text in scripts that no dictionary knows, in lower case.

    A combining mark stays with its letter. A run of Korean, or of a script without spaces, gives
    its pairs of neighbouring letters, 무선이 gives 무선 and 선이; a run of one letter that letter.
    """
    for kind, group in groupby(_letters(text.lower()), key=lambda letter: _kind(letter[0])):
        letters = list(group)
        if kind == "letter":
            yield "".join(letters)
        elif kind == "paired letter":
            yield from map("".join, pairwise(letters)) if len(letters) > 1 else letters


def _letters(text: str) -> Iterator[str]:
    """The characters of a text, each with the combining marks after it."""
    letter = ""
    for character in text:
        if letter and _kind(character) != "mark":
            yield letter
            letter = ""
        letter += character
    if letter:
        yield letter


@cache
def _kind(character: str) -> _Kind:
    category = unicodedata.category(character)
    if category[0] == "M":
        return "mark"
    if category[0] not in "LN":
        return "other"
    paired = any(ord(character) in block for block in _PAIRED)
    return "paired letter" if paired else "letter"
