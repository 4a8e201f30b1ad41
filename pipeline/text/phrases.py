"""Promotional phrases: what a shop puts in brackets into titles of all kinds (`【送料無料】`).

They are learned from a catalogue. Rules alone decide an item's tokens; its phrases can be left out
wherever the catalogue's are known.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

Pattern = tuple[str, ...]

# Not (), <>, 「」 and 『』: sizes, contents and names stand in those.
_PAIRS = zip("【[≪★", "】]≫★", strict=True)
_BRACKETED = re.compile(
    "|".join(f"\\{left}([^\\{left}\\{right}]{{1,60}})\\{right}" for left, right in _PAIRS)
)
# Kana and kanji.
_JAPANESE = re.compile(r"[\u3041-\u30ff\u3400-\u9fff]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)

# A phrase is in at least so many titles and in such a share of them: what is rarer may as well be
# the name of a work. It has at least two Japanese words without a number: a single word that is
# frequent is what inverse document frequency is for, and [500ml], [5個セット] and [Blu-ray] tell
# things apart.
_TITLES = 10
_SHARE = 0.02
_WORDS, _TOKENS = 2, 12
# Of more phrases those that most titles have: all are looked for in every title.
_MOST = 300
# [雑誌] says what a thing is: its titles have another token so much more often than all titles.
_LIFT = 0.4


class Title(NamedTuple):
    """What phrases are learned from.

    Attributes:
        tokens: of the whole title.
        segments: the tokens of each of its bracketed segments.
    """

    tokens: Sequence[str]
    segments: Sequence[Sequence[str]]


def bracketed_segments(text: str) -> list[str]:
    """What stands in brackets or between stars in a cleaned title: up to 60 characters each."""
    return [match[match.lastindex or 0] for match in _BRACKETED.finditer(text)]


def pattern(tokens: Iterable[str]) -> Pattern:
    """Tokens with 0 for every number: `ポイント 10 倍` and `ポイント 5 倍` are one phrase."""
    return tuple(_NUMBER.sub("0", token) for token in tokens)


def learn(titles: Sequence[Title]) -> frozenset[Pattern]:
    """The promotional phrases of a sample of titles.

    Args:
        titles: a sample of the catalogue, or all of it.

    Returns:
        phrases that many titles have in brackets whose other tokens are like those of all titles.
    """
    patterns = [{pattern(segment) for segment in title.segments} for title in titles]
    held = Counter(phrase for found in patterns for phrase in found)
    candidates = frequent_phrases(held, len(titles))
    overall: Counter[str] = Counter()
    beside: defaultdict[Pattern, Counter[str]] = defaultdict(Counter)
    for title, mine in zip(titles, patterns, strict=True):
        tokens = set(pattern(title.tokens))
        overall.update(tokens)
        inside = {token for phrase in mine for token in phrase}
        for phrase in mine & candidates:
            beside[phrase].update(tokens - inside)
    found = [
        phrase
        for phrase in candidates
        if is_independent(held[phrase], beside[phrase], overall, len(titles))
    ]
    return frozenset(sorted(found, key=lambda phrase: (-held[phrase], phrase))[:_MOST])


def frequent_phrases(held: Counter[Pattern], titles: int) -> set[Pattern]:
    """The phrases that are in enough of so many titles, and of a phrase's length."""
    return {
        phrase
        for phrase, count in held.items()
        if count >= max(_TITLES, _SHARE * titles)
        and len(phrase) <= _TOKENS
        and sum(map(_is_word, phrase)) >= _WORDS
    }


def _is_word(token: str) -> bool:
    return "0" not in token and _JAPANESE.search(token) is not None


def is_independent(held: int, beside: Counter[str], overall: Counter[str], titles: int) -> bool:
    """Whether no token is much more frequent beside a phrase than in all titles.

    Args:
        held: titles that have the phrase.
        beside: of those, how many have each other token.
        overall: of all titles, how many have each token.
        titles: how many those are.
    """
    return all(count / held - overall[token] / titles < _LIFT for token, count in beside.items())


class PhraseRemover:
    """Phrases, ready to be left out of titles."""

    def __init__(self, phrases: Iterable[Pattern]) -> None:
        longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
        # Tokens are two spaces apart, and each has one of its own on both sides.
        expressions = ("  ".join(map(_expression, phrase)) for phrase in longest_first)
        self._expression = f" (?:{'|'.join(expressions)}) " if longest_first else ""

    def remove_from(self, titles: pa.Array) -> pa.Array:
        """Titles without the phrases, bracketed or not, the longest first; whole if none is left.

        Args:
            titles: n strings: tokens separated by single spaces.
        """
        if not self._expression:
            return titles
        spread = pc.replace_substring(titles, " ", "  ")
        apart = pc.binary_join_element_wise("", spread, "", " ")
        cut = pc.replace_substring_regex(apart, self._expression, "")
        kept = pc.utf8_trim(pc.replace_substring_regex(cut, " +", " "), " ")
        return pc.if_else(pc.equal(kept, ""), titles, kept)


def _expression(token: str) -> str:
    """A regular expression for a token of a pattern."""
    return "(?:[0-9]+(?:\\.[0-9]+)?)".join(map(re.escape, token.split("0")))
