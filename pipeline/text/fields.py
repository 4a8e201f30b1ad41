"""Fields: further columns of an item, a brand or a category, whose words count in its vector."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.text.clean import clean

if TYPE_CHECKING:
    from pipeline.text.tokenize import Tokenizer

# The separators of a path that are recognised. Cleaning has made full-width ones these.
_RECOGNISED = (">", "|", "/")
AUTO = "auto"
# Deeper levels have their words only, so that a text that is no path stays short.
_MAX_LEVELS = 12


@dataclass(frozen=True)
class Field:
    """A field.

    Attributes:
        column: column of the items table.
        separator: between the levels of a path, or AUTO; empty: the values are no paths.
    """

    column: str
    separator: str = ""

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Field":
        """The field of a section embed.field, as a mapping of its settings."""
        separator = section["separator"]
        if separator is None:
            separator = AUTO if section["column"] == "category" else ""
        return cls(section["column"], separator)

    @property
    def token_column(self) -> str:
        """The column of the tokens table."""
        return f"{self.column}_tokens"

    def tokens(self, tokenizer: "Tokenizer", text: str) -> list[str]:
        """The tokens of a value that `clean` returned.

        Each level of a path has its words, and then one token for the path to it: `Home > Cookware`
        has home, >home, cookware and >home>cookware. So items of one deep level share what few
        items have. No token contains white space.
        """
        if not self.separator:
            return tokenizer.tokens_of_clean(text)
        tokens, path = [], ""
        for depth, level in enumerate(_levels(text, self.separator)):
            tokens += tokenizer.tokens_of_clean(level)
            if depth < _MAX_LEVELS:
                path += f">{level.lower().replace(' ', '_')}"
                tokens.append(path)
        return tokens


def fields_of(sections: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """The fields of the sections embed.field."""
    return tuple(map(Field.of, sections))


def _levels(text: str, separator: str) -> list[str]:
    """The levels of a path, from the top down; empty ones are left out."""
    if separator == AUTO:
        separator = next((one for one in _RECOGNISED if one in text), "")
    separator = _as_cleaned(separator)
    levels = text.split(separator) if separator else [text]
    return [level.strip() for level in levels if level.strip()]


@lru_cache
def _as_cleaned(separator: str) -> str:
    """What cleaning makes of a separator that stands between two words."""
    return clean(f"a{separator}a")[1:-1]
