"""Patterns of LIKE, and texts that are numbers."""

import re

ESCAPE = "\\"
# For Python's fullmatch; Java reads it too.
NUMBER = r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *"


def normalise(pattern: str, escape: str = ESCAPE) -> str:
    r"""A pattern of LIKE whose escape character is \.

    Raises:
        ValueError: an escape character stands before another than %, _ and itself.
    """
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, "")
            if following not in ("%", "_", escape):
                raise ValueError(f"{escape} in a pattern stands before %, _ or {escape} only")
            parts.append(_escaped(following))
        else:
            parts.append(character if character in "%_" else _escaped(character))
    return "".join(parts)


def _escaped(character: str) -> str:
    return f"{ESCAPE}{character}" if character in f"%_{ESCAPE}" else character


def to_regex(pattern: str) -> "re.Pattern[str]":
    """A normalised pattern as a regular expression for fullmatch."""
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == ESCAPE:
            parts.append(re.escape(next(characters)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)
