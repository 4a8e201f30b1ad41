"""Words in Latin letters and digits: English, numbers, model numbers."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LATIN = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_ALNUM = rf"[0-9{_LATIN}]"
# Runs of letters and digits, joined by single marks: XZ-1000B, 2.5mg, Blu-ray, Kellogg's, 1,000.
# The group's star is not possessive, which Python before 3.11.5 matches wrongly (cpython#106052).
# Nothing follows it, so it never backtracks.
_SPAN = re.compile(
    rf"{_ALNUM}+(?:(?:[-_./&'\u2019]|(?<=\d),(?=\d{{3}}(?!\d))){_ALNUM}+)*", re.ASCII
)
_DECIMAL = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_PART = re.compile(rf"\d+(?:\.\d+)?|[{_LATIN}]+(?:['\u2019][{_LATIN}]+)*", re.ASCII)
# A mark that does not stand between two digits: there it tells 24-70mm from 2470mm.
_MARK = re.compile(r"[-_./&](?!\d)|(?<!\d)[-_./&]", re.ASCII)
_LONGEST = 64


class Word(NamedTuple):
    """A run of Latin letters and digits: its position in the text, and its tokens."""

    start: int
    end: int
    tokens: list[str]


def latin_words(text: str) -> Iterator[Word]:
    """The runs of Latin letters and digits in a cleaned text, in order."""
    for match in _SPAN.finditer(text):
        yield Word(match.start(), match.end(), word_tokens(match.group()))


def word_tokens(word: str) -> list[str]:
    """The word as a whole, and then its parts if it has more than one, all in lower case.

    `XZ-1000B` and `XZ1000B` give xz1000b, xz, 1000, b; `2.5mg` gives 2.5mg, 2.5, mg; `1,000` gives
    1000. A word of more than 64 characters (a URL, an encoded picture) gives its parts only.
    """
    word = word.lower().replace(",", "").replace("\u2019", "'")
    if _DECIMAL.fullmatch(word):
        return [word[:_LONGEST]]
    parts = [part[:_LONGEST] for part in _PART.findall(word)]
    if parts == [word]:
        return parts
    whole = without_marks(word)
    return [whole, *parts] if len(whole) <= _LONGEST else parts


def without_marks(word: str) -> str:
    """The word without its marks, as it is also written: xz-1000b gives xz1000b.

    Marks between two digits stay.
    """
    return _MARK.sub("", word)
