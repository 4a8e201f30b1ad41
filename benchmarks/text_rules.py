"""The gain of each text rule: label recall with all rules, and with each one switched off in turn.

Neighbours are exact, by word TF-IDF (scikit-learn), and with --mean also by the mean of fastText
vectors trained on the set's own tokens. Label recall@10 is the share of the possible items with
the same label among the ten nearest; `pairs` is the average precision of the cosine of labelled
pairs.

Two kinds of set are derived: in `mixed` about every second measure has another spelling, and in
`promoted` half of the titles have a shop's promotional phrases.
"""

import argparse
import json
import random
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score

from models import fasttext
from models.fasttext.train import TrainingSettings, train
from pipeline.text import clean, tokenize, units, words
from pipeline.text.promotional_phrases import PhraseRemover, Title, bracketed_segments, learn

# A rule is switched off by replacing a function in the module that calls it.
_RULES: dict[str, tuple[ModuleType, Callable[..., Any], Callable[..., Any]]] = {
    "one form of a character (half-width kana, ㎖, Ａ, hyphens)": (
        clean,
        clean.normalize_characters,
        lambda text: text,
    ),
    "units written out: 2リットル, 12 ounces": (
        tokenize,
        units.abbreviate_units,
        lambda text: text,
    ),
    "a unit stands at its number: 500 ml": (
        tokenize,
        units.join_numbers_and_units,
        lambda text: text,
    ),
    "a counter has its number: 5.5合": (
        tokenize,
        units.counter_token,
        lambda _number, counter: counter,
    ),
    "Latin words are kept from the dictionary": (
        tokenize,
        words.latin_words,
        lambda text: iter(()),
    ),
    "words whole and in parts": (
        tokenize,
        words.latin_words,
        lambda text: (word._replace(tokens=word.tokens[:1]) for word in words.latin_words(text)),
    ),
    "words without marks: XZ-1000B": (words, words.without_marks, lambda word: word),
}
_PROMOTIONS = "phrases in brackets, by document frequency"
_SPELLINGS = {
    "ml": (" ml", "ミリリットル", "㎖"),
    "l": (" L", "リットル", "Ｌ"),
    "mg": (" mg", "ミリグラム", "㎎"),
    "g": (" g", "グラム", "ｇ"),
    "%": (" %", "パーセント", "％"),
}
_BARGAINS = (
    *("【送料無料】", "【ポイント10倍】", "【期間限定】", "≪あす楽≫", "【2点で5%OFFクーポン】"),
    *("[SALE] ", "送料無料 ", "【ポイント2倍&200円クーポン配布中】", "【レビューで500円クーポン】"),
    *("『72時間限定エントリーで全品ポイント10倍』", "【楽天1位】", "ポイント5倍 ", "[送料無料]"),
    *("【メール便可20】", "【週末限定 最大2,000円OFF】", "【在庫限り】", "★楽しいお買い物祭★"),
)
_NEIGHBORS = 10
# Queries of each set, evenly spaced.
_QUERIES = 3_000


class Line(NamedTuple):
    """A set with known answers: labels of its texts, or labelled pairs of indices."""

    texts: list[str]
    labels: list[str]
    pairs: list[tuple[int, int]]


def mixed(texts: list[str]) -> list[str]:
    """Return the texts with about every second measure in another spelling."""
    rng = random.Random(0)  # noqa: S311 - derived data
    units = re.compile(r"(?<=\d)(ml|mg|l|g|%)(?![a-z])", re.I)

    def respell(match: re.Match[str]) -> str:
        return rng.choice((match[1], rng.choice(_SPELLINGS[match[1].lower()])))

    return [units.sub(respell, unicodedata.normalize("NFKC", text)) for text in texts]


def promoted(texts: list[str]) -> list[str]:
    """Return the texts, half of them with one or two promotional phrases in front."""
    rng = random.Random(0)  # noqa: S311 - derived data
    weights = [1 / rank for rank in range(1, len(_BARGAINS) + 1)]

    def bargains() -> str:
        return "".join(rng.choices(_BARGAINS, weights, k=rng.randint(1, 2)))

    return [bargains() + text if rng.random() < 0.5 else text for text in texts]


def read_sets(data: Path) -> dict[str, Line]:
    """Read the sets of a folder (its README.md describes them) and derive sets from them."""

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(data / name, dtype=str, keep_default_na=False)

    drugs = read("jp_drug_price/price_20250716.csv.gz")
    shop = read("jp_rakuten_api/items.csv")
    shop = shop[shop["kind"] != "total"]
    trades = read("jp_jsic/jsic.csv.gz")
    trades = trades[trades["level"] == "4"]
    grocery = read("en_grocery_titles/products.csv.gz")
    sets = {}
    for name, table, label in (
        ("drugs, class4", drugs, "class4"),
        ("drugs, form_spec9", drugs, "form_spec9"),
        ("rakuten, kind", shop, "kind"),
        ("jsic titles, minor", trades, "minor"),
        ("grocery, aisle", grocery, "aisle"),
    ):
        sets[name] = Line(table["title"].tolist(), table[label].tolist(), [])
    for name in ("abt_buy", "walmart_amazon", "wdc_offers"):
        items = read(f"en_entity_match/{name}_items.csv.gz")
        pairs = read(f"en_entity_match/{name}_pairs.csv.gz")
        index = {item: number for number, item in enumerate(items["item_id"])}
        item_pairs = [(index[a], index[b]) for a, b in zip(pairs["a"], pairs["b"], strict=True)]
        sets[f"{name}, pairs"] = Line(items["title"].tolist(), pairs["match"].tolist(), item_pairs)
    for name, derive in (
        ("drugs, form_spec9", mixed),
        ("drugs, class4", promoted),
        ("grocery, aisle", promoted),
        ("jsic titles, minor", promoted),
    ):
        line = sets[name]
        sets[f"{derive.__name__} {name}"] = line._replace(texts=derive(line.texts))
    return sets


def tokens(
    tokenizer: tokenize.Tokenizer, texts: list[str], *, keep_phrases: bool
) -> list[list[str]]:
    """Tokenize titles, and remove the phrases learned from them unless `keep_phrases` is set."""
    cleaned = [clean.clean(text) for text in texts]
    titles = [tokenizer.tokens_of_clean(text) for text in cleaned]
    if keep_phrases:
        return titles
    bracketed = [
        [tokenizer.tokens_of_clean(part) for part in bracketed_segments(text)] for text in cleaned
    ]
    phrases = learn([Title(*title) for title in zip(titles, bracketed, strict=True)])
    joined = pa.array(map(" ".join, titles), pa.string())
    return [text.split() for text in PhraseRemover(phrases).remove_from(joined).to_pylist()]


def tfidf(token_lists: list[list[str]]) -> csr_matrix:
    """Compute unit rows of word TF-IDF."""
    vectorizer = TfidfVectorizer(analyzer=list, sublinear_tf=True, dtype=np.float32)
    return csr_matrix(vectorizer.fit_transform(token_lists))


def mean(token_lists: list[list[str]]) -> csr_matrix:
    """Compute unit rows of the mean of fastText vectors (dim 100) trained on these tokens."""
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as name:
        corpus, model = Path(name) / "corpus.txt", Path(name) / "model.bin"
        corpus.write_text("".join(" ".join(row) + "\n" for row in token_lists), encoding="utf-8")
        train(corpus, model, TrainingSettings(epoch=20, min_count=1, bucket=200_000))
        vectors = fasttext.load(fasttext.pack(model, Path(name) / "packed")).embed(token_lists)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return csr_matrix(vectors / np.where(lengths > 0, lengths, 1))


def score(line: Line, vectors: csr_matrix) -> float:
    """Compute label recall, or the average precision of pairs."""
    if line.pairs:
        left, right = np.array(line.pairs).T
        cosines = np.asarray(vectors[left].multiply(vectors[right]).sum(axis=1)).ravel()
        return float(average_precision_score([label == "1" for label in line.labels], cosines))
    _, codes = np.unique(line.labels, return_inverse=True)
    possible = np.bincount(codes)[codes] - 1
    queries = np.flatnonzero(possible > 0)
    queries = queries[:: -(-len(queries) // _QUERIES)]
    hits = np.zeros(len(queries))
    for start in range(0, len(queries), 500):
        block = queries[start : start + 500]
        scores = (vectors[block] @ vectors.T).toarray()
        scores[np.arange(len(block)), block] = -np.inf
        nearest = np.argpartition(-scores, _NEIGHBORS, axis=1)[:, :_NEIGHBORS]
        hits[start : start + 500] = (codes[nearest] == codes[block, None]).sum(axis=1)
    return float((hits / np.minimum(possible[queries], _NEIGHBORS)).mean())


@contextmanager
def switched_off(rule: str | None) -> Iterator[None]:
    """Switch a rule off inside a `with` statement; None switches nothing off."""
    if rule is None:
        yield
        return
    module, function, replacement = _RULES[rule]
    with mock.patch.object(module, function.__name__, replacement):
        yield


def measure(sets: dict[str, Line], vectors: Callable[..., csr_matrix]) -> dict[str, Any]:
    """Score each set with all rules (`all`), and with each rule switched off."""
    tokenizer = tokenize.Tokenizer(tokenize.TextSettings())
    results: dict[str, Any] = {}
    for rule in (None, *_RULES, _PROMOTIONS):
        print(f"without {rule} ...", file=sys.stderr)
        scores = {}
        with switched_off(None if rule == _PROMOTIONS else rule):
            for name, line in sets.items():
                keep_phrases = rule == _PROMOTIONS
                token_lists = tokens(tokenizer, line.texts, keep_phrases=keep_phrases)
                scores[name] = score(line, vectors(token_lists))
        results[rule or "all"] = scores
    return results


def main() -> None:
    """Run the benchmark and print what each rule adds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of the open sets")
    parser.add_argument("--mean", action="store_true", help="also fastText's mean")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    sets = read_sets(arguments.data)
    ways = {"tfidf": tfidf} | ({"mean": mean} if arguments.mean else {})
    results = {way: measure(sets, vectors) for way, vectors in ways.items()}
    for way, scores in results.items():
        table = pd.DataFrame(scores)
        gains = table.drop(columns="all").rsub(table["all"], axis=0)
        print(f"\n{way}: all rules, and what each adds")
        print(pd.concat([table["all"], gains], axis=1).T.round(4).to_string())
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
