"""Label recall of the methods on catalogues with known answers, compared with word TF-IDF.

Label recall@10 is defined for an item that shares its label with others. It is the number of its
ten nearest items with the same label, divided by how many there could be; the nearest are by
cosine among all items that have text. Each catalogue has its own fastText model, trained with the
pipeline's defaults. Tokens, statistics and vectors are the product's, and vectors are rounded to
float16. `tfidf` uses the same tokens: 1 + log of the count, smoothed inverse document frequency,
unit length. All catalogues have the same settings. `re-ranked` is the default vectors with
rank.rerank: the best 20 by cosine in the order of the finer score, which also judges pairs.
Nothing is downloaded: --data is the folder of the catalogues. With --encoded, a folder of what an
encoder makes of the items' texts, `distilled` has model.distilled beside the model, and the last
column is that, re-ranked.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix, diags
from scipy.stats import spearmanr

from benchmarks.catalogue_models import train_model, with_distilled
from benchmarks.sets import LABELLED, PAIRED, SENTENCES, Catalogue
from models import fasttext
from pipeline.config.sections import ModelSection, RankSection
from pipeline.evaluation.methods import Dense
from pipeline.evaluation.reranked import Reranked
from pipeline.retrieval.reranking import ComparedItems
from pipeline.retrieval.vectors import to_bytes

_NEAREST = 10
_RERANKED = "re-ranked"
_BLOCK = 512
_DIMS = (128, 256, 384, 448, 512)


# Dense vectors, sparse ones of word TF-IDF, or re-ranking.
Vectors = np.ndarray | Reranked | Any


def reranked(model: fasttext.Embedder, catalogue: Catalogue) -> Reranked:
    """Prepare the items for what rank.rerank does."""
    embedder = fasttext.BlendEmbedder(model, fasttext.Blend())
    fields = _fields(catalogue)
    vectors = embedder.embed_fields(*fields)
    ids, halves = pa.array(map(str, range(len(vectors)))), to_bytes(vectors.astype(np.float16))
    features = embedder.item_features(*fields)
    items = ComparedItems.of(ids, halves, features, embedder.letters_from)
    return Reranked(Dense(halves), items, RankSection(rerank=True))


def mean(model: fasttext.Embedder, catalogue: Catalogue) -> np.ndarray:
    """Compute the library's sentence vectors."""
    return rounded(model.embed(catalogue.documents))


def blended(model: fasttext.Embedder, catalogue: Catalogue, dim: int) -> np.ndarray:
    """Compute vectors of the method blend, or of weighted if dim is 0."""
    blend = replace(fasttext.Blend(), dim=dim)
    return rounded(fasttext.BlendEmbedder(model, blend).embed_fields(*_fields(catalogue)))


def _fields(catalogue: Catalogue) -> list[pa.Array]:
    """The tokens of the titles, without promotional phrases, and of the descriptions."""
    columns = (catalogue.bare_titles, catalogue.descriptions)
    return [pa.array(column, pa.list_(pa.string())) for column in columns]


def rounded(vectors: np.ndarray) -> np.ndarray:
    """Return unit vectors, rounded first as in the embeddings table."""
    halves = vectors.astype(np.float16).astype(np.float32)
    norms = np.maximum(np.linalg.norm(halves, axis=1, keepdims=True), np.float32(1e-12))
    return np.asarray(halves / norms)


def tfidf(catalogue: Catalogue) -> csr_matrix:
    """Compute word TF-IDF: float64[n, words], sparse, unit rows."""
    words: dict[str, int] = {}
    rows = [Counter(document) for document in catalogue.documents]
    columns = [words.setdefault(word, len(words)) for row in rows for word in row]
    offsets = np.cumsum([0, *map(len, rows)])
    data = 1 + np.log([count for row in rows for count in row.values()])
    counts = csr_matrix((data, columns, offsets), shape=(len(rows), len(words)))
    documents = np.bincount(columns, minlength=len(words))
    weighted = counts @ diags(np.log((1 + len(rows)) / (1 + documents)) + 1)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return csr_matrix(diags(1 / norms) @ weighted)


def nearest(vectors: Vectors, items: np.ndarray, count: int = _NEAREST) -> np.ndarray:
    """Find the nearest other items of each item, ties by index: int[n, count]."""
    if isinstance(vectors, Reranked):
        return np.asarray(vectors.nearest(count)[items])
    blocks = []
    for start in range(0, len(items), _BLOCK):
        block = items[start : start + _BLOCK]
        product = vectors[block] @ vectors.T
        scores = np.asarray(product.todense() if isinstance(product, csr_matrix) else product)
        scores[np.arange(len(block)), block] = -np.inf
        thresholds = np.partition(scores, -count, axis=1)[:, -count]
        rows, columns = np.nonzero(scores >= thresholds[:, None])
        order = np.lexsort((columns, -scores[rows, columns], rows))
        starts = np.searchsorted(rows, np.arange(len(block)))
        blocks.append(columns[order][starts[:, None] + np.arange(count)])
    return np.concatenate(blocks)


def label_recalls(catalogue: Catalogue, vectors: Vectors) -> dict[str, float]:
    """Compute the recall of each kind of label of the catalogue."""
    neighbors = nearest(vectors, np.arange(len(catalogue.titles)))
    recalls = {}
    for name, labels in catalogue.labels.items():
        _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        items = np.flatnonzero((np.array(labels) != "") & (counts[codes] > 1))
        same = (codes[neighbors[items]] == codes[items, None]).sum(axis=1)
        possible = np.minimum(_NEAREST, counts[codes[items]] - 1)
        recalls[name] = float((same / possible).mean())
    return recalls


def pair_scores(catalogue: Catalogue, vectors: Vectors) -> dict[str, float]:
    """Compute the recall of partners among the nearest, and the pairs' average precision."""
    first, second, match = map(np.array, zip(*catalogue.pairs, strict=True))
    order = np.argsort(-_cosines(vectors, first, second), kind="stable")
    hits = match[order] > 0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    partners: dict[int, set[int]] = {}
    matches = zip(first[match > 0].tolist(), second[match > 0].tolist(), strict=True)
    for item, partner in matches:
        partners.setdefault(item, set()).add(partner)
    neighbors = nearest(vectors, np.array(list(partners)))
    recalls = [
        len(expected & set(row.tolist())) / min(_NEAREST, len(expected))
        for expected, row in zip(partners.values(), neighbors, strict=True)
    ]
    return {"recall": float(np.mean(recalls)), "precision": float(precision[hits].mean())}


def rank_correlation(catalogue: Catalogue, vectors: Vectors) -> dict[str, float]:
    """Compute Spearman's correlation of cosines with people's scores."""
    first, second, scores = map(np.array, zip(*catalogue.pairs, strict=True))
    return {"spearman": float(spearmanr(_cosines(vectors, first, second), scores).statistic)}


def _cosines(vectors: Vectors, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if isinstance(vectors, Reranked):
        return vectors.cosines(first, second)
    if isinstance(vectors, csr_matrix):
        return np.asarray(vectors[first].multiply(vectors[second]).sum(axis=1)).ravel()
    return np.asarray((vectors[first] * vectors[second]).sum(axis=1))


def measure(
    catalogue: Catalogue,
    folder: Path,
    speeds: dict[str, list[float]],
    section: ModelSection,
    encoded: Path | None,
) -> Iterator[tuple[str, str, float]]:
    """Measure one catalogue.

    Args:
        catalogue: to measure.
        folder: for its model.
        speeds: receives items a second, one core, by way.
        section: how the model is trained.
        encoded: folder of an encoder's vectors; see `with_distilled`.

    Yields:
        (way, line, value).
    """
    model = train_model(catalogue, folder, section)
    metric = {"labels": label_recalls, "pairs": pair_scores, "sentences": rank_correlation}[
        catalogue.kind
    ]
    ways = {"weighted": 0} | {f"blend {dim}": dim for dim in _DIMS}
    if catalogue.kind != "labels":
        ways = {"weighted": 0, f"blend {fasttext.Blend().dim}": fasttext.Blend().dim}
    vectors_by_way: dict[str, Vectors] = {"tfidf": tfidf(catalogue)}
    for name in ("mean", *ways):
        start = time.process_time()
        dim = ways.get(name)
        vectors_by_way[name] = (
            mean(model, catalogue) if dim is None else blended(model, catalogue, dim)
        )
        seconds = time.process_time() - start
        speeds.setdefault(name, []).append(len(catalogue.titles) / seconds)
    vectors_by_way[_RERANKED] = reranked(model, catalogue)
    if encoded:
        both = with_distilled(model, catalogue, encoded / f"{catalogue.name}.npy", folder)
        vectors_by_way["distilled"] = blended(both, catalogue, fasttext.Blend().dim)
        vectors_by_way[f"and {_RERANKED}"] = reranked(both, catalogue)
    for name, vectors in vectors_by_way.items():
        for line, value in metric(catalogue, vectors).items():
            yield name, f"{catalogue.name}, {line}", value


def run(data: Path, section: ModelSection, encoded: Path | None) -> dict[str, Any]:
    """Measure all catalogues, with models that are trained by these settings."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    speeds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as name:
        for read in (*LABELLED, *PAIRED, SENTENCES):
            catalogue = read(data)
            print(f"measuring {catalogue.name} ...", file=sys.stderr)
            lines = results.setdefault(catalogue.kind, {})
            for way, line, value in measure(
                catalogue, Path(name) / catalogue.name, speeds, section, encoded
            ):
                lines.setdefault(line, {})[way] = value
    means = {
        way: float(np.mean([line[way] for line in results["labels"].values()]))
        for way in next(iter(results["labels"].values()))
    }
    default = f"blend {fasttext.Blend().dim}"
    smallest_gain = min(
        line[default] - max(line["tfidf"], line["mean"]) for line in results["labels"].values()
    )
    return {
        **results,
        "mean_label_recall": means,
        "default": default,
        "default_over_tfidf": means[default] - means["tfidf"],
        "default_over_mean": means[default] - means["mean"],
        "default_over_better_at_least": smallest_gain,
        "items_per_second": {way: float(np.median(rates)) for way, rates in speeds.items()},
    }


def show(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    for kind in ("labels", "pairs", "sentences"):
        ways = list(next(iter(results[kind].values())))
        print(f"{kind:34}" + "".join(f"{way:>15}" for way in ways))
        for line, values in results[kind].items():
            print(f"{line:34}" + "".join(f"{values[way]:>15.3f}" for way in ways))
        if kind == "labels":
            means = results["mean_label_recall"]
            print(f"{'mean':34}" + "".join(f"{means[way]:>15.4f}" for way in ways))
    print("items embedded a second, one core, median over the sets:")
    for way, rate in results["items_per_second"].items():
        print(f"  {way:12}{rate:>10,.0f}")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the sets")
    parser.add_argument("--pretrained", default="", help="word vectors that training starts from")
    parser.add_argument("--encoded", type=Path, help="folder of an encoder's vectors: NAME.npy")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    results = run(arguments.data, ModelSection(pretrained=arguments.pretrained), arguments.encoded)
    show(results)
    if arguments.json:
        print(json.dumps(results, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
