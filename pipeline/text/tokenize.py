"""Tokens of an item's text: SudachiPy for Japanese, own rules for words in other scripts."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.content import file_sha256
from pipeline.text import scripts
from pipeline.text.clean import clean
from pipeline.text.fields import Field
from pipeline.text.split import split_text
from pipeline.text.units import abbreviate_units, counter_token, join_numbers_and_units
from pipeline.text.words import Word, latin_words

if TYPE_CHECKING:
    from sudachipy import Dictionary, Morpheme

# Raise this with every change to the tokens of any text: models and tables of other rules do not
# fit then.
RULES_VERSION = 3

# Parts of speech that make no token: particles, auxiliaries, punctuation, white space.
_SYMBOL = "補助記号"
_DROPPED = frozenset({"助詞", "助動詞", _SYMBOL, "空白"})
_AFFIXES = frozenset({"接頭辞", "接尾辞"})
_SPACE = re.compile(r"\s+")
# A number after this prefix is an ordinal, as in 第1話, and makes no measure.
_ORDINAL_PREFIX = "第"
# Words whose entries are kept in memory.
_MAX_ENTRIES = 100_000


@dataclass(frozen=True)
class TextSettings:
    """The settings that decide the tokens of a text, beside the rules and the dictionary's release.

    The attributes are those of the config's section [text], and the fields of [[embed.field]].
    """

    split_mode: Literal["A", "B", "C"] = "C"
    word_form: Literal["surface", "dictionary", "normalized"] = "normalized"
    dictionary: Literal["small", "core", "full"] = "core"
    user_dictionaries: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()

    def fingerprint(self) -> str:
        """16 hexadecimal digits: rules, settings, library, dictionary, user dictionaries, fields.

        Raises:
            OSError: a user dictionary can't be read.
        """
        parts = asdict(self) | {
            "rules": RULES_VERSION,
            "sudachipy": metadata.version("sudachipy"),
            "dictionary_version": metadata.version(f"sudachidict-{self.dictionary}"),
            "user_dictionaries": [file_sha256(Path(path)) for path in self.user_dictionaries],
        }
        if not self.fields:
            del parts["fields"]
        return sha256(repr(sorted(parts.items())).encode()).hexdigest()[:16]


def dictionary_of(settings: TextSettings) -> "Dictionary":
    """SudachiPy's dictionary with the user dictionaries.

    Raises:
        SudachiError: they can't be loaded together.
    """
    from sudachipy import Config, Dictionary

    return Dictionary(
        config=Config(system=settings.dictionary, user=list(settings.user_dictionaries))
    )


def prepare(text: str) -> str:
    """A text that `clean` returned as SudachiPy gets it: its measures in one form."""
    return join_numbers_and_units(abbreviate_units(text))


class Tokenizer:
    """Turns text into tokens, for one thread. It can't be pickled: make it where it is used.

    Attributes:
        fields: the fields that are tokenised beside title and description.
    """

    def __init__(self, settings: TextSettings) -> None:
        self.fields = settings.fields
        self._form = settings.word_form
        self._sudachi = dictionary_of(settings).tokenizer(mode=settings.split_mode)
        # Entries of the dictionaries, by the numbers of the dictionary and of the word in it.
        self._entries: dict[tuple[int, int], _Entry] = {}

    def tokens(self, text: str | None) -> list[str]:
        """Clean a text and return its tokens in order; [] for None and ''."""
        return self.tokens_of_clean(clean(text))

    def tokens_of_clean(self, text: str) -> list[str]:
        """The tokens of a text that `clean` returned.

        Particles, auxiliaries, punctuation and white space are dropped, unless that would leave
        nothing. Words in scripts that SudachiPy takes for symbols stay: see
        pipeline.text.scripts. No token contains white space.
        """
        tokens: list[str] = []
        all_tokens: list[str] = []
        for piece in split_text(prepare(text)):
            self._add_tokens(piece, tokens, all_tokens)
        return tokens or all_tokens

    def spans_of_clean(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The tokens of a text that `prepare` returned, with the start and the end of each.

        Parts of a Latin word have the span of the word. What is no word has an empty span: affixes,
        and counters of a number.
        """
        start = 0
        for piece in split_text(text):
            tokens: list[str] = []
            spans: list[tuple[int, int]] = []
            self._add_tokens(piece, tokens, [], spans)
            for token, (first, end) in zip(tokens, spans, strict=True):
                yield token, start + first, start + end
            start += len(piece)

    def _add_tokens(
        self,
        text: str,
        tokens: list[str],
        all_tokens: list[str],
        spans: list[tuple[int, int]] | None = None,
    ) -> None:
        """Append a piece's tokens to `tokens`, and with the dropped ones to `all_tokens`.

        `spans`, if it is given, gets the start and the end of each of `tokens`.
        """
        morphemes = list(self._sudachi.tokenize(text))
        words = _whole_words(text, morphemes)
        position, number, number_end = 0, "", -1
        previous: Morpheme | None = None
        for morpheme in morphemes:
            start = morpheme.begin() if words else -1
            while position < len(words) and words[position].end <= start:
                position += 1
            word = words[position] if position < len(words) else None
            if word is not None and word.start <= start:
                if word.start == start:
                    tokens.extend(word.tokens)
                    if spans is not None:
                        spans.extend([(word.start, word.end)] * len(word.tokens))
                    number_end = word.end
                    number = "" if _is_ordinal_prefix(previous) else word.tokens[0]
                    previous = None
                continue
            entry = self._entry(morpheme)
            if entry.token:
                all_tokens.append(entry.token)
                is_counter = entry.is_counter and number_end == morpheme.begin()
                if entry.is_kept:
                    tokens.append(counter_token(number, entry.token) if is_counter else entry.token)
                tokens.extend(entry.words)
                if spans is not None:
                    is_word = not (entry.is_affix or is_counter)
                    span = (morpheme.begin(), morpheme.end() if is_word else morpheme.begin())
                    spans.extend([span] * (len(tokens) - len(spans)))
            if entry.is_number:
                number_end = morpheme.end()
                number = "" if _is_ordinal_prefix(previous) else entry.token
            previous = morpheme

    def _entry(self, morpheme: "Morpheme") -> "_Entry":
        """What the dictionary says of a morpheme; of its words it is asked once."""
        if morpheme.is_oov() or self._form == "surface":
            return self._look_up(morpheme)
        key = (morpheme.dictionary_id(), morpheme.word_id())
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= _MAX_ENTRIES:
                self._entries.clear()
            entry = self._entries[key] = self._look_up(morpheme)
        return entry

    def _look_up(self, morpheme: "Morpheme") -> "_Entry":
        token = _SPACE.sub("_", self._word_form(morpheme))
        part_of_speech, subtype, usage, *_ = morpheme.part_of_speech()
        words: list[str] = []
        if part_of_speech == _SYMBOL and morpheme.is_oov():
            surface = morpheme.surface()
            if scripts.has_letter(surface):
                words = list(scripts.words(surface))
        return _Entry(
            token=token if token.strip("_") else "",
            is_kept=part_of_speech not in _DROPPED,
            is_affix=part_of_speech in _AFFIXES,
            is_counter="助数詞" in usage,
            is_number=subtype == "数詞",
            words=tuple(words),
        )

    def _word_form(self, morpheme: "Morpheme") -> str:
        if self._form == "normalized":
            form: str = morpheme.normalized_form()
        elif self._form == "dictionary":
            form = morpheme.dictionary_form()
        else:
            form = morpheme.surface()
        return form.lower().strip()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a morpheme gives.

    Attributes:
        token: its token; empty if nothing but space is left of it.
        is_kept: whether its part of speech makes a token.
        is_affix: whether it is a prefix or a suffix.
        is_counter: whether it can count what a number before it numbers.
        is_number: whether it is a number.
        words: tokens of a word that SudachiPy does not know and takes for a symbol.
    """

    token: str
    is_kept: bool
    is_affix: bool
    is_counter: bool
    is_number: bool
    words: tuple[str, ...]


def _is_ordinal_prefix(morpheme: "Morpheme | None") -> bool:
    return morpheme is not None and morpheme.surface() == _ORDINAL_PREFIX


def _whole_words(text: str, morphemes: "Iterable[Morpheme]") -> list[Word]:
    """The Latin words that begin and end where morphemes do.

    These are tokenized here, as SudachiPy translates them (SUMMER to サマー) or takes them apart
    (XZ-1000B). Words of both scripts that it knows (Tシャツ) are left to it.
    """
    words = list(latin_words(text))
    if not words:
        return words
    starts, ends = set(), set()
    for morpheme in morphemes:
        starts.add(morpheme.begin())
        ends.add(morpheme.end())
    return [word for word in words if word.start in starts and word.end in ends]
