"""What each text rule is worth: label recall with all rules, and with each switched off in turn.

Neighbours are exact: by word TF-IDF (scikit-learn), and with --mean also by the mean of fastText
vectors trained on the set's own tokens. Label recall@10 is the share of the possible items of the
same label among the ten nearest; `pairs` is the average precision of the cosine of labelled pairs.

Two kinds of set are derived: in `mixed` every second measure is written another way, and in
`promoted` half the titles have phrases of a shop's bargains.
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
from pipeline.text import clean, tokenize, words
from pipeline.text.phrases import PhraseRemover, Title, bracketed_segments, learn

# What stands in place of a rule that is switched off.
_RULES: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "one form of a character (half-width kana, ㎖, Ａ, hyphens)": (
        clean,
        "normalize_characters",
        lambda text: text,
    ),
    "units written out: 2リットル, 12 ounces": (tokenize, "abbreviate", lambda text: text),
    "a unit stands at its number: 500 ml": (tokenize, "close_up", lambda text: text),
    "a counter has its number: 5.5合": (
        tokenize,
        "counted",
        lambda _number, counter: counter,
    ),
    "Latin words are kept from the dictionary": (tokenize, "latin_words", lambda text: iter(())),
    "words whole and in parts": (
        tokenize,
        "latin_words",
        lambda text: (word._replace(tokens=word.tokens[:1]) for word in words.latin_words(text)),
    ),
    "words without marks: XZ-1000B": (words, "without_marks", lambda word: word),
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
# Of every set, evenly spaced.
_QUERIES = 3_000


class Line(NamedTuple):
    """A set with known answers: labels of its texts, or labelled pairs of places."""

    texts: list[str]
    labels: list[str]
    pairs: list[tuple[int, int]]


def mixed(texts: list[str]) -> list[str]:
    """The texts with about every second measure spelt another way."""
    rng = random.Random(0)  # noqa: S311 - derived data
    units = re.compile(r"(?<=\d)(ml|mg|l|g|%)(?![a-z])", re.I)

    def other(match: re.Match[str]) -> str:
        return rng.choice((match[1], rng.choice(_SPELLINGS[match[1].lower()])))

    return [units.sub(other, unicodedata.normalize("NFKC", text)) for text in texts]


def promoted(texts: list[str]) -> list[str]:
    """The texts, half of them with one bargain or two in front."""
    rng = random.Random(0)  # noqa: S311 - derived data
    odds = [1 / (place + 1) for place in range(len(_BARGAINS))]

    def bargains() -> str:
        return "".join(rng.choices(_BARGAINS, odds, k=rng.randint(1, 2)))

    return [bargains() + text if rng.random() < 0.5 else text for text in texts]


def lines(data: Path) -> dict[str, Line]:
    """The sets of a folder (its README.md says what they are), and those derived from them."""

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(data / name, dtype=str, keep_default_na=False)

    drugs = read("jp_drug_price/price_20250716.csv.gz")
    shop = read("jp_rakuten_api/items.csv")
    shop = shop[shop["kind"] != "total"]
    trades = read("jp_jsic/jsic.csv.gz")
    trades = trades[trades["level"] == "4"]
    grocery = read("en_grocery_titles/products.csv.gz")
    found = {}
    for name, table, label in (
        ("drugs, class4", drugs, "class4"),
        ("drugs, form_spec9", drugs, "form_spec9"),
        ("rakuten, kind", shop, "kind"),
        ("jsic titles, minor", trades, "minor"),
        ("grocery, aisle", grocery, "aisle"),
    ):
        found[name] = Line(table["title"].tolist(), table[label].tolist(), [])
    for name in ("abt_buy", "walmart_amazon", "wdc_offers"):
        items = read(f"en_entity_match/{name}_items.csv.gz")
        pairs = read(f"en_entity_match/{name}_pairs.csv.gz")
        place = {item: place for place, item in enumerate(items["item_id"])}
        both = [(place[a], place[b]) for a, b in zip(pairs["a"], pairs["b"], strict=True)]
        found[f"{name}, pairs"] = Line(items["title"].tolist(), pairs["match"].tolist(), both)
    for name, derive in (
        ("drugs, form_spec9", mixed),
        ("drugs, class4", promoted),
        ("grocery, aisle", promoted),
        ("jsic titles, minor", promoted),
    ):
        line = found[name]
        found[f"{derive.__name__} {name}"] = line._replace(texts=derive(line.texts))
    return found


def tokens(tokenizer: tokenize.Tokenizer, texts: list[str], *, bargains: bool) -> list[list[str]]:
    """The tokens of titles; without `bargains`, less the phrases learned from them."""
    cleaned = [clean.clean(text) for text in texts]
    made = [tokenizer.tokens_of_clean(text) for text in cleaned]
    if bargains:
        return made
    bracketed = [
        [tokenizer.tokens_of_clean(part) for part in bracketed_segments(text)] for text in cleaned
    ]
    phrases = learn([Title(*title) for title in zip(made, bracketed, strict=True)])
    left = PhraseRemover(phrases).remove_from(pa.array(map(" ".join, made), pa.string()))
    return [text.split() for text in left.to_pylist()]


def tfidf(token_lists: list[list[str]]) -> csr_matrix:
    """Unit rows of word TF-IDF."""
    made = TfidfVectorizer(analyzer=list, sublinear_tf=True, dtype=np.float32)
    return csr_matrix(made.fit_transform(token_lists))


def mean(token_lists: list[list[str]]) -> csr_matrix:
    """Unit rows of the mean of fastText vectors, of 100 dimensions, trained on these tokens."""
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as name:
        corpus, model = Path(name) / "corpus.txt", Path(name) / "model.bin"
        corpus.write_text("".join(" ".join(row) + "\n" for row in token_lists), encoding="utf-8")
        train(corpus, model, TrainingSettings(epoch=20, min_count=1, bucket=200_000))
        vectors = fasttext.load(fasttext.pack(model, Path(name) / "packed")).embed(token_lists)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return csr_matrix(vectors / np.where(lengths > 0, lengths, 1))


def score(line: Line, vectors: csr_matrix) -> float:
    """Label recall, or the average precision of pairs."""
    if line.pairs:
        left, right = np.array(line.pairs).T
        cosines = np.asarray(vectors[left].multiply(vectors[right]).sum(axis=1)).ravel()
        return float(average_precision_score([label == "1" for label in line.labels], cosines))
    _, kinds = np.unique(line.labels, return_inverse=True)
    possible = np.bincount(kinds)[kinds] - 1
    asked = np.flatnonzero(possible > 0)
    asked = asked[:: -(-len(asked) // _QUERIES)]
    hits = np.zeros(len(asked))
    for start in range(0, len(asked), 500):
        here = asked[start : start + 500]
        scores = (vectors[here] @ vectors.T).toarray()
        scores[np.arange(len(here)), here] = -np.inf
        nearest = np.argpartition(-scores, _NEIGHBORS, axis=1)[:, :_NEIGHBORS]
        hits[start : start + 500] = (kinds[nearest] == kinds[here, None]).sum(axis=1)
    return float((hits / np.minimum(possible[asked], _NEIGHBORS)).mean())


@contextmanager
def without(rule: str | None) -> Iterator[None]:
    """Inside, a rule is switched off; none is for None."""
    if rule is None:
        yield
        return
    module, name, instead = _RULES[rule]
    with mock.patch.object(module, name, instead):
        yield


def measure(found: dict[str, Line], vectors: Callable[..., csr_matrix]) -> dict[str, Any]:
    """Every line's score with all rules (`all`), and with each switched off."""
    tokenizer = tokenize.Tokenizer(tokenize.TextSettings())
    results: dict[str, Any] = {}
    for rule in (None, *_RULES, _PROMOTIONS):
        print(f"without {rule} ...", file=sys.stderr)
        scores = {}
        with without(None if rule == _PROMOTIONS else rule):
            for name, line in found.items():
                made = tokens(tokenizer, line.texts, bargains=rule == _PROMOTIONS)
                scores[name] = score(line, vectors(made))
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
    given = parser.parse_args()
    found = lines(given.data)
    ways = {"tfidf": tfidf} | ({"mean": mean} if given.mean else {})
    results = {way: measure(found, vectors) for way, vectors in ways.items()}
    for way, scores in results.items():
        table = pd.DataFrame(scores)
        worth = table.drop(columns="all").rsub(table["all"], axis=0)
        print(f"\n{way}: all rules, and what each adds")
        print(pd.concat([table["all"], worth], axis=1).T.round(4).to_string())
    if given.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
