"""Tokens of an item's text: SudachiPy for Japanese, words and model numbers for the rest."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.content import file_sha256
from pipeline.text.clean import clean
from pipeline.text.split import split_text
from pipeline.text.units import abbreviate_units, counter_token, join_numbers_and_units
from pipeline.text.words import Word, latin_words

if TYPE_CHECKING:
    from sudachipy import Morpheme

# Raised by whoever changes what any text gives: models and tables of other rules do not fit.
RULES_VERSION = 2

_DROPPED = frozenset({"助詞", "助動詞", "補助記号", "空白"})
_SPACE = re.compile(r"\s+")
# 第1話 is no measure.
_ORDINAL = "第"


@dataclass(frozen=True)
class TextSettings:
    """What decides the tokens of a text, besides the rules and the dictionary's release."""

    split_mode: Literal["A", "B", "C"] = "C"
    word_form: Literal["surface", "dictionary", "normalized"] = "normalized"
    dictionary: Literal["small", "core", "full"] = "core"
    user_dictionaries: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """16 hexadecimal digits: rules, settings, library, dictionary, user dictionaries.

        Raises:
            OSError: a user dictionary can't be read.
        """
        parts = asdict(self) | {
            "rules": RULES_VERSION,
            "sudachipy": metadata.version("sudachipy"),
            "dictionary_version": metadata.version(f"sudachidict-{self.dictionary}"),
            "user_dictionaries": [file_sha256(Path(path)) for path in self.user_dictionaries],
        }
        return sha256(repr(sorted(parts.items())).encode()).hexdigest()[:16]


class Tokenizer:
    """Turns text into tokens. One a thread; it can't be pickled: build it where it is used."""

    def __init__(self, settings: TextSettings) -> None:
        from sudachipy import Config, Dictionary

        config = Config(system=settings.dictionary, user=list(settings.user_dictionaries))
        self._form = settings.word_form
        self._sudachi = Dictionary(config=config).tokenizer(mode=settings.split_mode)

    def tokens(self, text: str | None) -> list[str]:
        """The tokens of one text, in its order, after cleaning. None and '' give []."""
        return self.tokens_of_clean(clean(text))

    def tokens_of_clean(self, text: str) -> list[str]:
        """The tokens of a text that `clean` gave.

        Particles, auxiliaries, punctuation and white space are dropped, unless that would leave
        nothing. No token holds white space.
        """
        kept: list[str] = []
        everything: list[str] = []
        text = join_numbers_and_units(abbreviate_units(text))
        for piece in split_text(text):
            self._add_tokens(piece, kept, everything)
        return kept or everything

    def _add_tokens(self, text: str, kept: list[str], everything: list[str]) -> None:
        morphemes = list(self._sudachi.tokenize(text))
        words = _whole_words(text, morphemes)
        position = 0
        number, number_end, before = "", -1, ""
        for morpheme in morphemes:
            start = morpheme.begin()
            while position < len(words) and words[position].end <= start:
                position += 1
            word = words[position] if position < len(words) else None
            if word is not None and word.start <= start:
                if word.start == start:
                    kept.extend(word.tokens)
                    number, number_end = word.tokens[0] if before != _ORDINAL else "", word.end
                    before = ""
                continue
            token = _SPACE.sub("_", self._of(morpheme))
            part, kind, use, *_ = morpheme.part_of_speech()
            if token.strip("_"):
                everything.append(token)
                if part not in _DROPPED:
                    counts = number_end == start and "助数詞" in use
                    kept.append(counter_token(number, token) if counts else token)
            if kind == "数詞":
                number, number_end = token if before != _ORDINAL else "", morpheme.end()
            before = morpheme.surface()

    def _of(self, morpheme: "Morpheme") -> str:
        if self._form == "normalized":
            form: str = morpheme.normalized_form()
        elif self._form == "dictionary":
            form = morpheme.dictionary_form()
        else:
            form = morpheme.surface()
        return form.lower().strip()


def _whole_words(text: str, morphemes: "Iterable[Morpheme]") -> list[Word]:
    """The Latin words whose bounds are bounds of morphemes too.

    SudachiPy knows words of both scripts (Tシャツ): those stay as they are. Others it translates
    (SUMMER to サマー) or takes apart (XZ-1000B), which is why they are not left to it.
    """
    words = list(latin_words(text))
    if not words:
        return words
    starts, ends = set(), set()
    for morpheme in morphemes:
        starts.add(morpheme.begin())
        ends.add(morpheme.end())
    return [word for word in words if word.start in starts and word.end in ends]
