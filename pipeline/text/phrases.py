"""Promotional phrases: what a shop puts in brackets into titles of all kinds (`【送料無料】`).

They are learned from a catalogue. Rules alone decide an item's tokens; its phrases can be left out
wherever the catalogue's are known.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pattern = tuple[str, ...]

# Not (), <> and 「」: sizes, contents and names stand in those.
_PAIRS = zip("【[≪《『★", "】]≫》』★", strict=True)
_BRACKETED = re.compile(
    "|".join(f"\\{left}([^\\{left}\\{right}]{{1,60}})\\{right}" for left, right in _PAIRS)
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)

# A phrase is in at least so many titles and in such a share of them, and has at least two tokens:
# a single word that is frequent is what inverse document frequency is for.
_TITLES = 10
_SHARE = 0.002
_TOKENS = (2, 12)
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


def segments(text: str) -> list[str]:
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
    candidates = frequent(held, len(titles))
    overall: Counter[str] = Counter()
    beside: defaultdict[Pattern, Counter[str]] = defaultdict(Counter)
    for title, found in zip(titles, patterns, strict=True):
        tokens = set(pattern(title.tokens))
        overall.update(tokens)
        inside = {token for phrase in found for token in phrase}
        for phrase in found & candidates:
            beside[phrase].update(tokens - inside)
    return frozenset(
        phrase
        for phrase in candidates
        if independent(held[phrase], beside[phrase], overall, len(titles))
    )


def frequent(held: Counter[Pattern], titles: int) -> set[Pattern]:
    """The phrases that are in enough of so many titles, and of a phrase's length."""
    least, most = _TOKENS
    return {
        phrase
        for phrase, count in held.items()
        if count >= max(_TITLES, _SHARE * titles) and least <= len(phrase) <= most
    }


def independent(held: int, beside: Counter[str], overall: Counter[str], titles: int) -> bool:
    """Whether no token is much more frequent beside a phrase than in all titles.

    Args:
        held: titles that have the phrase.
        beside: of those, how many have each other token.
        overall: of all titles, how many have each token.
        titles: how many those are.
    """
    return all(count / held - overall[token] / titles < _LIFT for token, count in beside.items())


class Promotions:
    """Phrases, ready to be left out of titles."""

    def __init__(self, phrases: Iterable[Pattern]) -> None:
        self._by_first: defaultdict[str, list[Pattern]] = defaultdict(list)
        for phrase in sorted(phrases, key=len, reverse=True):
            self._by_first[phrase[0]].append(phrase)

    def without(self, tokens: list[str]) -> list[str]:
        """The tokens that are in no phrase, bracketed or not, the longest first; all if none."""
        if not self._by_first:
            return tokens
        seen = pattern(tokens)
        kept, place = [], 0
        while place < len(tokens):
            length = next(
                (
                    len(phrase)
                    for phrase in self._by_first.get(seen[place], ())
                    if seen[place : place + len(phrase)] == phrase
                ),
                0,
            )
            if not length:
                kept.append(tokens[place])
            place += length or 1
        return kept or tokens
