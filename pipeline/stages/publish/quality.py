"""The quality of a table, for the run's page: coverage, scores, hubs, sameness.

The first three are computed on all pairs; sameness, which reads the items, on a sample.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stages.context import Job
from pipeline.stages.publish.pair_sums import ALL, FIRST, STEPS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# If there are more items, a sample of this size is used: it gives a share of one half to within 0.7
# percentage points.
MAX_SAMPLED = 20_000
_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def measure_quality(
    job: Job, pairs: "DataFrame", sums: Mapping[str, int], items: int
) -> dict[str, Any]:
    """Coverage and scores; and on a sample, the shares of same category and duplicates.

    Args:
        job: the run.
        pairs: similar_items.
        sums: of `pair_sums.sums` over all of them.
        items: how many items the catalogue has.
    """
    distribution, covered = scores(sums)
    return {
        "coverage": round(covered / items, 6) if items else 0.0,
        "scores": distribution,
        **sameness(job, pairs, covered),
    }


def scores(sums: Mapping[str, int]) -> tuple[dict[str, Any], int]:
    """The distribution of the scores, and how many items have any.

    Args:
        sums: of `pair_sums.sums`.

    Returns:
        a histogram, [lower bound, pairs] by steps of 0.01, and quantiles of all ranks and of the
        first rank, each as the middle of its step; and the number of items.
    """
    steps = sorted(int(name.removeprefix(ALL)) for name in sums if name.startswith(ALL))
    middles = (np.array(steps, dtype=np.int64) + 0.5) / STEPS

    def quantiles(prefix: str) -> dict[str, float]:
        cumulative = np.cumsum([sums.get(f"{prefix}{step}", 0) for step in steps])
        if not len(cumulative) or not cumulative[-1]:
            return {}
        positions = np.searchsorted(cumulative, np.array(_QUANTILES) * cumulative[-1])
        values = middles[positions]
        return {f"{q:g}": round(float(v), 4) for q, v in zip(_QUANTILES, values, strict=True)}

    distribution = {
        "quantiles": quantiles(ALL),
        "first": quantiles(FIRST),
        "histogram": [[round(step / STEPS, 2), sums[f"{ALL}{step}"]] for step in steps],
    }
    return distribution, sum(sums.get(f"{FIRST}{step}", 0) for step in steps)


def hubs(shown: "DataFrame", items: int) -> dict[str, Any]:
    """How evenly items are shown: the most shown item, how many are never shown, and the Gini.

    Args:
        shown: similar_id, one row for each time that an item is shown; if possible in the order of
            the lists, where the rows of one item are near each other, which makes counting cheap.
        items: how many items the catalogue has.
    """
    from pyspark.sql import functions as F

    counts = shown.groupBy("similar_id").agg(F.count("*").alias("times"))
    # Collected: one row for each distinct number of times, which are few in any catalogue.
    rows = counts.groupBy("times").agg(F.count("*"), F.min("similar_id")).collect()
    times = np.array([row[0] for row in rows], dtype=np.float64)
    holders = np.array([row[1] for row in rows], dtype=np.float64)
    never = max(0, items - int(holders.sum()))
    top = max(rows, default=None)
    return {
        "most_shown": top and {"item_id": top[2], "times": top[0]},
        "never_shown": never,
        "gini": round(gini(np.append(times, 0), np.append(holders, never)), 4),
    }


def gini(values: np.ndarray, weights: np.ndarray) -> float:
    """The Gini coefficient of weighted values: 0 if all are equal, near 1 if one has everything.

    Source: half the relative mean absolute difference (Gini 1912), by the Lorenz curve.
    """
    total = float((values * weights).sum())
    if not total:
        return 0.0
    order = np.argsort(values)
    population = np.cumsum(weights[order]) / weights.sum()
    shares = np.cumsum((values * weights)[order]) / total
    previous = np.concatenate([[0.0], shares[:-1]])
    return float(1 - np.sum(np.diff(population, prepend=0.0) * (shares + previous)))


def sameness(job: Job, shown: "DataFrame", covered: int) -> dict[str, Any]:
    """On a sample: the shares of neighbours with the same category and with the same text."""
    from pyspark.sql import functions as F

    one_in = max(1, -(-covered // MAX_SAMPLED))
    is_sampled = F.pmod(F.xxhash64("item_id"), F.lit(one_in)) == 0
    pairs = shown.where(is_sampled).select("item_id", "similar_id")
    items = job.read("items", "ingest").select("item_id", "category")
    texts = job.read("tokens", "tokenize").select("item_id", "text")
    if one_in > 1:
        # The ids of the sample's pairs are sent to where the items are: those are not shuffled.
        ids = F.broadcast(pairs.select("item_id").union(pairs.select("similar_id")).distinct())
        items, texts = (rows.join(ids, "item_id", how="left_semi") for rows in (items, texts))
    described = items.join(texts, "item_id", how="inner")
    own = described.where(is_sampled).toDF("item_id", "category", "text")
    other = described.toDF("similar_id", "similar_category", "similar_text")
    both = pairs.join(own, "item_id", how="inner").join(other, "similar_id", how="inner")
    has_categories = F.col("category").isNotNull() & F.col("similar_category").isNotNull()
    sums = both.agg(
        F.count("*").alias("pairs"),
        F.count_if(has_categories).alias("with_categories"),
        F.count_if(F.col("category") == F.col("similar_category")).alias("same"),
        F.count_if(F.col("text") == F.col("similar_text")).alias("duplicates"),
    ).first()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    with_categories = sums["with_categories"]
    return {
        "sampled_one_in": one_in,
        "same_category": round(sums["same"] / with_categories, 4) if with_categories else None,
        "duplicates_shown": round(sums["duplicates"] / sums["pairs"], 6) if sums["pairs"] else 0.0,
    }
