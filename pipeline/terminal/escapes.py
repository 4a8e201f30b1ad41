"""Characters that act on a terminal, shown as escapes: control characters and marks of direction.

Catalogues hold them: ESC moves the cursor and paints, U+202E turns what follows round.
"""

import re

_ACTING = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
)
_IN_VALUES = re.compile(rf"[\t\n{_ACTING}]")
# What colours.paint puts round a text.
_STYLE = r"\x1b\[\d{1,2}m"
_IN_LINES = re.compile(rf"({_STYLE})|[{_ACTING}]")
_IN_JSON = re.compile(rf"[{_ACTING}]")


def escape(value: str) -> str:
    r"""A value, an id for instance, with what acts on a terminal as \x1b or \u202e."""
    return _IN_VALUES.sub(lambda match: _escaped(match[0]), value)


def escape_lines(text: str) -> str:
    """Lines for a terminal; the styles in them, line ends and tabs stay."""
    return _IN_LINES.sub(lambda match: match[1] or _escaped(match[0]), text)


def escape_json(text: str) -> str:
    """JSON text of the same values; only its strings hold what is escaped."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
