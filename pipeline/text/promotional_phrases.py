"""Promotional phrases: texts in brackets that a shop puts into titles of all kinds: `【送料無料】`.

They are learned from a catalogue. An item's tokens do not depend on them: they are left out where
tokens become a vector, by the phrases of the catalogue that the model was trained on.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

Pattern = tuple[str, ...]

# (), <>, 「」 and 『』 are missing: sizes, contents and names stand in those.
_PAIRS = zip("【[≪★", "】]≫★", strict=True)
_BRACKETED = re.compile(
    "|".join(f"\\{left}([^\\{left}\\{right}]{{1,60}})\\{right}" for left, right in _PAIRS)
)
# Kana and kanji.
_JAPANESE = re.compile(r"[\u3041-\u30ff\u3400-\u9fff]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)

# A phrase is in at least this number and this share of the titles: a rarer one may be the name of
# a work. It has at least two Japanese words without a number: inverse document frequency deals with
# single words that are frequent, and [500ml], [5個セット] and [Blu-ray] distinguish items.
_MIN_TITLES = 10
_MIN_SHARE = 0.02
_MIN_WORDS, _MAX_TOKENS = 2, 12
# Of more phrases, the most frequent ones are used: all are searched for in every title.
_MAX_PHRASES = 300
# [雑誌] tells the kind of an item: some other token is more frequent by at least this share in its
# titles than in all titles.
_MAX_LIFT = 0.4


class Title(NamedTuple):
    """A title as phrases are learned from it.

    Attributes:
        tokens: tokens of the whole title.
        segments: tokens of each of its bracketed segments.
    """

    tokens: Sequence[str]
    segments: Sequence[Sequence[str]]


def bracketed_segments(text: str) -> list[str]:
    """The texts in brackets or between stars in a cleaned title, of up to 60 characters each."""
    return [match[match.lastindex or 0] for match in _BRACKETED.finditer(text)]


def pattern(tokens: Iterable[str]) -> Pattern:
    """The tokens with 0 for every number: `ポイント 10 倍` and `ポイント 5 倍` are one phrase."""
    return tuple(_NUMBER.sub("0", token) for token in tokens)


def learn(titles: Sequence[Title]) -> frozenset[Pattern]:
    """Learn the promotional phrases of a sample of titles.

    Args:
        titles: a sample of the catalogue, or all of it.

    Returns:
        the phrases that are frequent in brackets, and whose titles have otherwise the same tokens
        as all titles.
    """
    title_phrases = [{pattern(segment) for segment in title.segments} for title in titles]
    phrase_counts = Counter(phrase for phrases in title_phrases for phrase in phrases)
    candidates = frequent_phrases(phrase_counts, len(titles))
    token_counts: Counter[str] = Counter()
    joint_counts: defaultdict[Pattern, Counter[str]] = defaultdict(Counter)
    for title, phrases in zip(titles, title_phrases, strict=True):
        tokens = set(pattern(title.tokens))
        token_counts.update(tokens)
        bracketed = {token for phrase in phrases for token in phrase}
        for phrase in phrases & candidates:
            joint_counts[phrase].update(tokens - bracketed)
    independent = [
        phrase
        for phrase in candidates
        if is_independent(phrase_counts[phrase], joint_counts[phrase], token_counts, len(titles))
    ]
    by_frequency = sorted(independent, key=lambda phrase: (-phrase_counts[phrase], phrase))
    return frozenset(by_frequency[:_MAX_PHRASES])


def frequent_phrases(phrase_counts: Counter[Pattern], titles: int) -> set[Pattern]:
    """The phrases of a promotional phrase's frequency and length.

    Args:
        phrase_counts: titles that each phrase is in.
        titles: number of all titles.
    """
    return {
        phrase
        for phrase, count in phrase_counts.items()
        if count >= max(_MIN_TITLES, _MIN_SHARE * titles)
        and len(phrase) <= _MAX_TOKENS
        and sum(map(_is_word, phrase)) >= _MIN_WORDS
    }


def _is_word(token: str) -> bool:
    return "0" not in token and _JAPANESE.search(token) is not None


def is_independent(
    phrase_count: int, joint_counts: Counter[str], token_counts: Counter[str], titles: int
) -> bool:
    """Whether no token is much more frequent in a phrase's titles than in all titles.

    Args:
        phrase_count: titles that the phrase is in.
        joint_counts: how many of those each other token is in.
        token_counts: how many of all titles each token is in.
        titles: number of all titles.
    """
    return all(
        count / phrase_count - token_counts[token] / titles < _MAX_LIFT
        for token, count in joint_counts.items()
    )


class PhraseRemover:
    """Removes phrases from titles."""

    def __init__(self, phrases: Iterable[Pattern]) -> None:
        longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
        # `remove_from` puts a space on both sides of each token, so that neighbours share none.
        expressions = ("  ".join(map(_expression, phrase)) for phrase in longest_first)
        self._expression = f" (?:{'|'.join(expressions)}) " if longest_first else ""

    def remove_from(self, titles: pa.Array) -> pa.Array:
        """Titles without the phrases, bracketed or not, the longest phrase first.

        A title of nothing but phrases stays as it is.

        Args:
            titles: n strings: tokens separated by single spaces.
        """
        if not self._expression:
            return titles
        double_spaced = pc.replace_substring(titles, " ", "  ")
        padded = pc.binary_join_element_wise("", double_spaced, "", " ")
        without_phrases = pc.replace_substring_regex(padded, self._expression, "")
        trimmed = pc.utf8_trim(pc.replace_substring_regex(without_phrases, " +", " "), " ")
        return pc.if_else(pc.equal(trimmed, ""), titles, trimmed)


def _expression(token: str) -> str:
    """A regular expression for a token of a pattern."""
    return "(?:[0-9]+(?:\\.[0-9]+)?)".join(map(re.escape, token.split("0")))
