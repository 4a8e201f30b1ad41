"""Cleaning: markup and characters, as the first step before tokenizing."""

import re
import unicodedata

from pipeline.text.code_blocks import strip_code
from pipeline.text.markup import (
    strip_data_uris,
    strip_layout_tags,
    strip_tags,
    unescape_entities,
)

_SOUND_MARKS = {0x309B: "\u3099", 0x309C: "\u309a"}
_HYPHENS = dict.fromkeys([*range(0x2010, 0x2016), 0x2043, 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_TILDES = {0x301C: "~", 0x223C: "~", 0xFF5E: "~"}
# Zero-width and soft characters, and variation selectors.
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065),
     *range(0xFE00, 0xFE10), 0xFEFF]
)  # fmt: skip
_CHARACTERS = _SOUND_MARKS | _HYPHENS | _TILDES | _INVISIBLE
# What NFKC makes of other characters.
_AFTER_NFKC = _HYPHENS | _INVISIBLE
# Sound marks that NFKC could not combine with a letter.
_STRAY_MARK = re.compile("[\u3099\u309a]+")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def normalize_characters(text: str) -> str:
    """Apply NFKC, use one hyphen and one tilde, compose sound marks, drop invisible characters.

    The long vowel mark is a letter and never becomes a hyphen.
    """
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS))
    return _STRAY_MARK.sub("", text).translate(_AFTER_NFKC)


def clean(text: str | None) -> str:
    """Clean a text for the tokenizer; the result is one line, '' for None.

    Tags are removed before entities are resolved: `&lt;5cm&gt;` is text, not a tag. Escaped layout
    tags such as `&lt;br&gt;` are a shop's mistake, and are removed after that. Encoded files, JSON
    and CSS are removed too.
    """
    if not text:
        return ""
    # A lone surrogate is no character, and native libraries reject it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = unescape_entities(strip_tags(text))
    text = strip_layout_tags(normalize_characters(strip_code(strip_data_uris(text))))
    return _SPACE.sub(" ", text).strip()
