"""Placeholders: texts such as NULL, N/A or なし that stand where a shop has no text."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# Full-width letters and half-width kana, and the characters that NFKC makes of them.
WIDE = "".join(
    character
    for character in map(chr, range(0xFF01, 0xFF9E))
    if len(unicodedata.normalize("NFKC", character)) == 1
)
NORMAL = unicodedata.normalize("NFKC", WIDE)
_TABLE = str.maketrans(WIDE, NORMAL)


def normal_form(text: str) -> str:
    """The form in which texts are compared: normal width, lower case, no space around it."""
    return text.translate(_TABLE).strip().lower()


@dataclass(frozen=True)
class Placeholders:
    """The texts that are placeholders, and what becomes of them.

    Attributes:
        texts: the placeholders, each in its normal form.
        blank: whether they count as no text.
    """

    texts: frozenset[str] = frozenset()
    blank: bool = True

    @classmethod
    def of(cls, texts: Iterable[str], *, blank: bool) -> "Placeholders":
        """Placeholders of texts in any form."""
        return cls(frozenset(map(normal_form, texts)) - {""}, blank)

    @property
    def longest(self) -> int:
        """Characters of the longest placeholder."""
        return max(map(len, self.texts), default=0)

    @cached_property
    def first_characters(self) -> frozenset[str]:
        """The characters that a placeholder in any form may begin with; and all white space."""
        firsts = {text[0] for text in self.texts}
        firsts |= {first.upper() for first in firsts}
        others = (chr(code) for code in range(0x10000))
        return frozenset(firsts | {c for c in others if normal_form(c)[:1] in firsts | {""}})

    def text(self, text: str | None) -> str | None:
        """The text that counts: None for a placeholder, if placeholders count as no text."""
        if self.blank and text and normal_form(text) in self.texts:
            return None
        return text


# A catalogue without placeholders.
NONE = Placeholders()
