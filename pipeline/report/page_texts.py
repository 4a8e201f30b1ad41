"""The texts of pages, in English and Japanese."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("en", "ja")

Words = dict[str, dict[str, str]]


def load(path: Path) -> Words:
    """Load the texts of a page from a TOML file, in which each text has one entry a language.

    Returns:
        language -> name -> text.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        language: {name: texts[language] for name, texts in entries.items()}
        for language in LANGUAGES
    }


def merge(*parts: Mapping[str, Mapping[str, str]]) -> Words:
    """Merge texts; of texts with the same name the last one is taken."""
    return {
        language: {name: text for part in parts for name, text in part[language].items()}
        for language in LANGUAGES
    }
