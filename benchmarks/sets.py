"""The catalogues with known answers that quality.py measures, read from a folder of them."""

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pipeline.stages.train.promotional_phrases import phrases_of_titles
from pipeline.text.promotional_phrases import PhraseRemover
from pipeline.text.tokenize import TextSettings, Tokenizer

Rows = list[dict[str, str]]


@dataclass
class Catalogue:
    """Items with tokens, and the known answers.

    Attributes:
        name: name of the set.
        kind: the kind of answers: labels of items, pairs that match, or similarities of sentences.
        titles, descriptions: tokens of n items; each item has some.
        bare_titles: the titles without the promotional phrases that are learned from them.
        labels: n labels under each name; an empty label is unknown.
        pairs: indices of two items, and their similarity: 1 for a match.
    """

    name: str
    kind: Literal["labels", "pairs", "sentences"]
    titles: list[list[str]]
    descriptions: list[list[str]]
    labels: dict[str, list[str]] = field(default_factory=dict)
    pairs: list[tuple[int, int, float]] = field(default_factory=list)

    bare_titles: list[list[str]] = field(default_factory=list)

    @property
    def documents(self) -> list[list[str]]:
        """The tokens of title and description of each item."""
        return [
            title + description
            for title, description in zip(self.titles, self.descriptions, strict=True)
        ]


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer(TextSettings())


def _rows(file: Path) -> Rows:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _tokens(rows: Rows, column: str) -> list[list[str]]:
    return [_tokenizer().tokens(row.get(column, "")) for row in rows]


def _bare(rows: Rows, column: str, titles: list[list[str]]) -> list[list[str]]:
    """Return the titles without promotional phrases."""
    phrases = phrases_of_titles([row.get(column, "") for row in rows], _tokenizer())
    remover = PhraseRemover(tuple(phrase.split(" ")) for phrase in phrases)
    bare = remover.remove_from(pa.array(map(" ".join, titles), pa.string()))
    return [text.split() for text in bare.to_pylist()]


def _labelled(
    name: str,
    file: str,
    columns: tuple[str, str],
    labels: tuple[str, ...],
    where: tuple[str, str],
    data: Path,
) -> Catalogue:
    rows = [row for row in _rows(data / file) if not where[0] or row[where[0]] == where[1]]
    titles, descriptions = (_tokens(rows, column) for column in columns)
    bare = _bare(rows, columns[0], titles)
    indices = [i for i in range(len(rows)) if titles[i] or descriptions[i]]
    return Catalogue(
        name,
        "labels",
        [titles[i] for i in indices],
        [descriptions[i] for i in indices],
        {label: [rows[i][label] for i in indices] for label in labels},
        bare_titles=[bare[i] for i in indices],
    )


def _paired(name: str, data: Path) -> Catalogue:
    folder = data / "en_entity_match"
    rows = _rows(folder / f"{name}_items.csv.gz")
    indices = {row["item_id"]: index for index, row in enumerate(rows)}
    pairs = [
        (indices[row["a"]], indices[row["b"]], float(row["match"]))
        for row in _rows(folder / f"{name}_pairs.csv.gz")
    ]
    titles, descriptions = _tokens(rows, "title"), _tokens(rows, "description")
    bare = _bare(rows, "title", titles)
    return Catalogue(name, "pairs", titles, descriptions, pairs=pairs, bare_titles=bare)


def _sentences(data: Path) -> Catalogue:
    rows = [
        row
        for part in ("train", "valid", "test")
        for row in _rows(data / "ja_similarity" / f"jsts_{part}.csv.gz")
    ]
    columns = ("sentence1", "sentence2")
    sentences = dict.fromkeys(row[column] for row in rows for column in columns)
    indices = {sentence: index for index, sentence in enumerate(sentences)}
    pairs = [
        (indices[row["sentence1"]], indices[row["sentence2"]], float(row["score_0_5"]))
        for row in rows
    ]
    tokens = [_tokenizer().tokens(sentence) for sentence in sentences]
    no_descriptions: list[list[str]] = [[] for _ in tokens]
    return Catalogue("jsts", "sentences", tokens, no_descriptions, pairs=pairs, bare_titles=tokens)


_ALL = ("", "")
LABELLED: tuple[Callable[[Path], Catalogue], ...] = (
    partial(_labelled, "jp_drug_price", "jp_drug_price/price_20250716.csv.gz",
            ("title", ""), ("class4", "ingredient7", "form_spec9"), _ALL),
    partial(_labelled, "jp_madb", "jp_madb/anime_video_packages.csv.gz",
            ("", "description"), ("series_id",), _ALL),
    partial(_labelled, "jp_jsic", "jp_jsic/jsic.csv.gz",
            ("title", "description"), ("minor", "middle"), ("level", "4")),
    partial(_labelled, "ja_en_game_items", "ja_en_game_items/items.csv.gz",
            ("title_ja", "description_ja"), ("label_ja",), _ALL),
    partial(_labelled, "en_grocery_titles", "en_grocery_titles/products.csv.gz",
            ("title", ""), ("aisle",), _ALL),
)  # fmt: skip
PAIRED: tuple[Callable[[Path], Catalogue], ...] = tuple(
    partial(_paired, name) for name in ("abt_buy", "walmart_amazon", "amazon_google", "wdc_offers")
)
SENTENCES: Callable[[Path], Catalogue] = _sentences
