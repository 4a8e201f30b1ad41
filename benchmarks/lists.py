"""Putting items into lists: flat, and with parents.

    times     centroids are made-up vectors themselves; 448 dimensions unless --dim says otherwise
    recall    lists are trained on made-up vectors; recall@10 of the probed lists against exact
              search, for the same lists with and without parents, and for lists trained flat

"easy" and "hard" are the vectors of benchmarks/README.md, under neighbors.py. One process, one
thread, CPU seconds.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from pipeline.retrieval import list_training, parents
from pipeline.retrieval.nearest_centroids import nearest_centroids
from pipeline.retrieval.quantiser import Quantiser, sample_size
from pipeline.retrieval.spherical_kmeans import train
from pipeline.retrieval.vectors import Float32, unit_vectors

LISTS = (1_000, 4_000, 20_000, 75_000)
ITEMS, NPROBE, K, QUERIES = 20_000, 8, 10, 1_500
# Kind, items, dimensions, lists, probes.
SETS = (("easy", 200_000, 100, 2_000, 8), ("hard", 100_000, 100, 1_000, 32))


def easy(count: int, dim: int, rng: np.random.Generator) -> Float32:
    """Means of word vectors with topics: float32[count, dim], unit length."""
    topics, words, length = 5_000, 100_000, 12
    shops = rng.standard_normal((200, dim), dtype=np.float32)
    topic = shops[rng.integers(200, size=topics)]
    topic = topic + 0.7 * rng.standard_normal((topics, dim), dtype=np.float32)
    of_word = np.sort(rng.integers(topics, size=words))
    vectors = 0.8 * topic[of_word] + rng.standard_normal((words, dim), dtype=np.float32)
    common = 0.6 * rng.standard_normal((2_000, dim), dtype=np.float32)
    first = np.searchsorted(of_word, np.arange(topics + 1))
    share = 1 / np.arange(1, topics + 1) ** 0.8
    of_item = rng.choice(topics, size=count, p=share / share.sum())
    sums = 0.24 * rng.standard_normal((count, dim), dtype=np.float32)
    for number in range(length):
        skewed = rng.random(count) ** (2 if number < 8 else 3)
        size = np.maximum(first[of_item + 1] - first[of_item], 1)
        own = np.minimum(first[of_item] + (skewed * size).astype(int), words - 1)
        sums += vectors[own] if number < 8 else common[(skewed * len(common)).astype(int)]
    return unit_vectors(sums)


def hard(count: int, dim: int, rng: np.random.Generator) -> Float32:
    """A smooth manifold of about 24 dimensions: float32[count, dim], unit length."""
    first, second = (rng.standard_normal((24, dim), dtype=np.float32) for _ in range(2))
    inner = rng.standard_normal((count, 24), dtype=np.float32)
    return unit_vectors(np.tanh(0.3 * (inner @ first)) + 0.3 * np.sin(inner @ second))


KINDS: dict[str, Callable[[int, int, np.random.Generator], Float32]] = {"easy": easy, "hard": hard}


def cpu_us(quantiser: Quantiser, vectors: Float32, nprobe: int) -> float:
    """CPU microseconds an item; the best of two rounds."""
    rounds = []
    for _ in range(2):
        start = time.process_time()
        quantiser.probe(vectors, nprobe)
        rounds.append(time.process_time() - start)
    return min(rounds) / len(vectors) * 1e6


def times(kind: str, nlist: int, dim: int) -> dict[str, Any]:
    """Microseconds an item with so many lists, and what the parents keep."""
    rng = np.random.default_rng(0)
    vectors = KINDS[kind](nlist + ITEMS + 50_000, dim, rng)
    lists, items, sample = np.split(vectors, [nlist, nlist + ITEMS])
    grouped, order = parents.group_lists(lists, 1, 0)
    flat = Quantiser(lists[order])
    sample, queries = sample.astype(np.float16), items[:500].astype(np.float16)
    needed = list_training.parents_needed(Quantiser(flat.centroids, grouped), sample, queries)
    grouped = replace(grouped, probed=needed)
    two = Quantiser(flat.centroids, grouped)
    few = items[: max(500, 20_000_000 // nlist)]
    flat_us, us = cpu_us(flat, few, NPROBE), cpu_us(two, items, NPROBE)
    nearest = nearest_centroids(few, grouped.centroids, needed)
    compared = len(grouped.centroids) + grouped.sizes[nearest].sum(axis=1).mean()
    same = (flat.probe(few, 1) == two.probe(few, 1)).mean()
    return {
        "kind": kind,
        "lists": nlist,
        "flat_us": round(flat_us, 1),
        "parents": len(grouped.centroids),
        "probed": needed,
        "us": round(us, 1),
        "ratio": round(flat_us / us, 2),
        "compared": round(float(compared)),
        "same_list": round(float(same), 4),
        "used": bool(nlist >= list_training.PARENTS_FROM and list_training.pays(two)),
    }


def recall(kind: str, count: int, dim: int, nlist: int, nprobe: int) -> dict[str, Any]:
    """Recall of the probed lists: trained with levels, with and without parents; trained flat."""
    vectors = KINDS[kind](count, dim, np.random.default_rng(0)).astype(np.float16)
    rows = np.random.default_rng(1).permutation(count)
    asking, rest = rows[:QUERIES], rows[QUERIES:]
    units = unit_vectors(vectors.astype(np.float32))
    truth = np.empty((QUERIES, K), dtype=np.int64)
    for first in range(0, QUERIES, 100):
        block = asking[first : first + 100]
        scores = units[block] @ units.T
        scores[np.arange(len(block)), block] = -2
        truth[first : first + 100] = np.argpartition(-scores, K, axis=1)[:, :K]

    def recall_of(quantiser: Quantiser) -> float:
        homes = quantiser.probe(units, 1)[:, 0]
        probes = quantiser.probe(units[asking], nprobe)
        return float((homes[truth][:, :, None] == probes[:, None, :]).any(axis=2).mean())

    sample = vectors[rest[: sample_size(nlist, 1_200_000)]]
    start = time.process_time()
    two = list_training.train_with_parents(sample, nlist, 0)
    middle = time.process_time()
    flat = Quantiser(train(unit_vectors(sample.astype(np.float32)), nlist, 0))
    end = time.process_time()
    assert two.parents is not None  # noqa: S101 - see train_with_parents
    with_parents, without = recall_of(two), recall_of(Quantiser(two.centroids))
    return {
        "kind": kind,
        "items": count,
        "lists": nlist,
        "nprobe": nprobe,
        "parents": len(two.parents.centroids),
        "probed": two.parents.probed,
        "recall": round(with_parents, 4),
        "recall_all_compared": round(without, 4),
        "recall_trained_flat": round(recall_of(flat), 4),
        "training_s": round(middle - start, 1),
        "training_flat_s": round(end - middle, 1),
    }


def main() -> None:
    """Print a row a line, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=448, help="dimensions of the vectors of times")
    parser.add_argument("--lists", type=int, nargs="*", default=LISTS)
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    result = {
        "times": [times("easy", nlist, arguments.dim) for nlist in arguments.lists],
        "recall": [recall(*one) for one in SETS],
    }
    if arguments.json:
        print(json.dumps(result))
        return
    for row in [*result["times"], *result["recall"]]:
        print(row)


if __name__ == "__main__":
    main()
