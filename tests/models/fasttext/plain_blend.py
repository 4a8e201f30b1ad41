"""Blended vectors as sums written down plainly, in float64, and items to make them of."""

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models import fasttext
from models.fasttext import Blend, BlendEmbedder
from models.fasttext.catalogue_statistics import (
    CatalogueStatistics,
    DocumentCounter,
    principal_direction,
)
from models.fasttext.embedder import Embedder
from models.fasttext.token_batch import TokenBatch
from tests.models.fasttext.plain_features import (
    MASK,
    STEP,
    features,
    idf,
    limited_weight,
    splitmix64,
    word_hash,
)

# The tokens of the title, the description and further fields.
Fields = tuple[list[str], ...]


def known_share(statistics: CatalogueStatistics, word: str) -> float:
    """How many of a word's n-grams documents have, above what slots in use give to any word."""
    counts = statistics.ngram_documents
    by_chance = float((counts > 0).mean())
    hits = [counts[number % len(counts)] > 0 for table, number in features(word)[1:]]
    most = by_chance + math.sqrt(by_chance * (1 - by_chance) / len(hits))
    return 1.0 if all(hits) else max(0.0, (float(np.mean(hits)) - most) / (1 - most))


def lexical_row(statistics: CatalogueStatistics, word: str, dim: int) -> np.ndarray:
    row = np.zeros(dim)
    for table, number in features(word):
        for draw_number in range(1, 5):
            draw = splitmix64((number + draw_number * STEP) & MASK)
            sign = 1 if draw & 1 else -1
            row[(draw >> 32) * dim >> 32] += sign * idf(statistics, table, number) / 2
    return row


def unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else vector


def oracle(
    model: Any,
    statistics: CatalogueStatistics,
    blend: Blend,
    item: Fields,
    distilled: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """The vector of an item, token by token.

    Args:
        model: the library's.
        statistics: of the catalogue.
        blend: how the vector is made.
        item: the tokens.
        distilled: the rows of words in a distilled model that stands beside the other.
    """
    rows = distilled or {}
    first, second = model.get_dimension(), len(next(iter(rows.values()), ()))
    dim = first + second
    lexical = max(blend.dim - dim, 64) if blend.dim else 0
    title, *bodies = (np.zeros(dim + lexical) for _ in item)
    vocabulary = set(model.get_words())
    weights = (blend.title_weight, blend.description_weight, *blend.field_weights)
    weight_sum = known_sum = distilled_sum = 0.0
    for total, tokens, field_weight in zip((title, *bodies), item, weights, strict=True):
        for token, times in Counter(filter(None, tokens)).items():
            weight = idf(statistics, "word_documents", word_hash(token))
            known = 1.0 if token in vocabulary else known_share(statistics, token) ** 2
            support = 1.0 if token in vocabulary else known / 2
            vector = unit(model.get_sentence_vector(token).astype(np.float64)) * weight * support
            beside = rows.get(token, np.zeros(second)) * weight
            row = lexical_row(statistics, token, lexical) if lexical else np.zeros(0)
            total += (1 + math.log(times)) * np.concatenate((vector, beside, row))
            weight_sum += (1 + math.log(times)) * weight * field_weight
            known_sum += (1 + math.log(times)) * weight * field_weight * known
            distilled_sum += (1 + math.log(times)) * weight * field_weight * (token in rows)
    title *= blend.title_weight
    parts = []
    for part in (slice(0, first), slice(first, dim), slice(dim, dim + lexical)):
        total, size = title[part].copy(), float(np.linalg.norm(title[part]))
        for body, weight in zip(bodies, weights[1:], strict=True):
            other = float(np.linalg.norm(body[part]))
            total += limited_weight(weight, other, size) * body[part]
        parts.append(total)
    semantic, common = parts[0], statistics.common_direction
    semantic = unit(semantic - 0.5 * (semantic @ common) * common)
    semantic *= known_sum / weight_sum if weight_sum else 1.0
    columns = zip(item, weights, strict=True)
    words = sum(len(set(filter(None, tokens))) for tokens, weight in columns if weight)
    taken = distilled_sum / weight_sum * words / (words + 20) if second and weight_sum else 0.0
    meaning = np.concatenate(((1 - taken) ** 0.5 * semantic, taken**0.5 * unit(parts[1])))
    if not lexical:
        return meaning
    share = blend.lexical_weight
    return np.concatenate(((1 - share) ** 0.5 * meaning, share**0.5 * unit(parts[2])))


def with_statistics(path: Path, documents: list[list[str]]) -> Embedder:
    """Load a packed model with the statistics of documents."""
    model = fasttext.load(path)
    assert isinstance(model, Embedder)
    counts = DocumentCounter()
    counts.add(TokenBatch.from_arrow(*Embedder.flatten(documents)))
    statistics = counts.finish(principal_direction(model.embed(documents)))
    fasttext.add_statistics(path, statistics)
    reloaded = fasttext.load(path)
    assert isinstance(reloaded, Embedder)
    return reloaded


def random_items(names: list[str], count: int, fields: int = 0) -> list[Fields]:
    """Titles and descriptions: also empty ones, long ones, and words outside the vocabulary.

    Further fields are a few words, none, or very many.
    """
    rng = random.Random(5)  # noqa: S311
    names = [*names, "はじめて見る語", "XZ-1000B", "", "😀"]
    sizes = ((3, 5), (0, 4), (6, 0), (2, 60), (0, 0), (1, 1))
    return [
        tuple(
            rng.choices(names, k=size)
            for size in (*sizes[number % len(sizes)], *rng.choices((0, 1, 2, 80), k=fields))
        )
        for number in range(count)
    ]


def embedded(model: BlendEmbedder, items: list[Fields]) -> np.ndarray:
    column_type = pa.list_(pa.string())
    return model.embed_fields(
        *(pa.array(column, column_type) for column in zip(*items, strict=True))
    )
