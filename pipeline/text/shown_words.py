"""Words of a title as a shop can show them: as they are written, not as they are compared."""

from typing import NamedTuple

from pipeline.text.clean import clean
from pipeline.text.tokenize import Tokenizer, prepare
from pipeline.text.units import is_amount

# Characters of a title that are looked at.
MAX_TITLE = 500
# Letters of a part of a Latin word that is shown alone, at least: of Blu-ray not `b`, of 5-pack
# not `5`.
_MIN_PART = 3


class ShownWord(NamedTuple):
    """A word that is shown: how it is written, and where in the title."""

    form: str
    start: int
    end: int


def shown_title(title: str | None) -> str:
    """A title as `shown_words` reads it: cleaned, and cut after MAX_TITLE characters."""
    return prepare(clean(title)[:MAX_TITLE])


def shown_words(tokenizer: Tokenizer, title: str) -> dict[str, ShownWord]:
    """The words of a title that can be shown, by token; of a repeated one the first.

    Numbers and amounts (3枚, 500ml), single kana and Latin letters, affixes, and pieces of words
    can not.

    Args:
        tokenizer: of the tokens.
        title: of `shown_title`.
    """
    words: dict[str, ShownWord] = {}
    for token, start, end in tokenizer.spans_of_clean(title):
        if token not in words and (word := _shown(token, title[start:end], start)):
            words[token] = word
    return words


def _shown(token: str, written: str, start: int) -> ShownWord | None:
    """A token as it is written; None if it is not shown.

    Args:
        token: the token.
        written: what it was made of: the same word in another form, or a word that it is a part of.
        start: where that begins.
    """
    end = start + len(written)
    place = written.lower().find(token)
    is_part = len(token) < len(written) and place >= 0
    if is_part:
        written = written[place : place + len(token)]
        if not (written.isascii() and written.isalpha() and len(written) >= _MIN_PART):
            return None
    if is_amount(token) or not _can_stand_alone(written):
        return None
    return ShownWord(written, start, end)


def _can_stand_alone(written: str) -> bool:
    """Whether a text has a letter, and is not a single one, but for kanji."""
    has_letter = any(character.isalpha() for character in written)
    return has_letter and (len(written) > 1 or _is_kanji(written))


def _is_kanji(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or character >= "\U00020000"
