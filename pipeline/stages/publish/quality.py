"""What a run's page shows of a table: coverage, scores, hubs, sameness.

The first three are of all pairs; what needs a look at the items themselves is of a sample.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Of more items a sample says what is to be known: a share of one half to within 0.7 points.
MAX_SAMPLED = 20_000
_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
# Scores are counted in so many steps from 0 to 1.
_STEPS = 100


@dataclass(frozen=True)
class Table:
    """A similar-item table and what it is about.

    Attributes:
        pairs: similar_items.
        by_list: the same pairs in the order of the lists, if they are to be had so: similar_id.
            Those of one item are near each other there, which makes counting them cheap.
        items: how many the catalogue has.
    """

    pairs: "DataFrame"
    by_list: "DataFrame"
    items: int


def measure_quality(job: Job, table: Table) -> dict[str, Any]:
    """Coverage, scores, hubs, and of a sample the share of the same category and of duplicates."""
    found, covered = scores(table.pairs)
    return {
        "coverage": round(covered / table.items, 6) if table.items else 0.0,
        "scores": found,
        "hubs": hubs(table.by_list, table.items),
        **sameness(job, table, covered),
    }


def scores(pairs: "DataFrame") -> tuple[dict[str, Any], int]:
    """The distribution of the scores, and how many items have any.

    Returns:
        a histogram, [lower bound, pairs] by steps of 0.01, and quantiles of all ranks and of the
        first: the middle of the step that each lies in; and the number of items of rank 1.
    """
    from pyspark.sql import functions as F

    # The score 1 belongs to the last step.
    place = F.least(F.floor(F.col("score").cast("double") * _STEPS + 1e-6), F.lit(_STEPS - 1))
    first = F.count_if(F.col("rank") == 1).alias("first")
    counted = pairs.groupBy(place.alias("step")).agg(F.count("*").alias("all"), first)
    rows = sorted(counted.collect(), key=lambda row: int(row["step"]))
    steps = np.array([row["step"] for row in rows], dtype=np.int64)

    def quantiles(name: str) -> dict[str, float]:
        below = np.cumsum([row[name] for row in rows])
        if not len(below) or not below[-1]:
            return {}
        places = np.searchsorted(below, np.array(_QUANTILES) * below[-1])
        values = (steps[places] + 0.5) / _STEPS
        return {f"{q:g}": round(float(v), 4) for q, v in zip(_QUANTILES, values, strict=True)}

    found = {
        "quantiles": quantiles("all"),
        "first": quantiles("first"),
        "histogram": [[round(row["step"] / _STEPS, 2), row["all"]] for row in rows],
    }
    return found, sum(row["first"] for row in rows)


def hubs(shown: "DataFrame", items: int) -> dict[str, Any]:
    """How evenly items are shown: the most shown one, how many are never, the Gini coefficient.

    Args:
        shown: similar_id, one row a time that an item is shown.
        items: how many could be.
    """
    from pyspark.sql import functions as F

    counts = shown.groupBy("similar_id").agg(F.count("*").alias("times"))
    # As many rows as there are different numbers: few, whatever the catalogue.
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
    """The Gini coefficient of values, with weights: 0 if all are equal, near 1 if one has all.

    Source: half the relative mean absolute difference (Gini 1912), by the Lorenz curve.
    """
    total = float((values * weights).sum())
    if not total:
        return 0.0
    order = np.argsort(values)
    people = np.cumsum(weights[order]) / weights.sum()
    shares = np.cumsum((values * weights)[order]) / total
    before = np.concatenate([[0.0], shares[:-1]])
    return float(1 - np.sum(np.diff(people, prepend=0.0) * (shares + before)))


def sameness(job: Job, table: Table, covered: int) -> dict[str, Any]:
    """Of a sample: the shares of neighbours of the same category and with the same text."""
    from pyspark.sql import functions as F

    one_in = max(1, -(-covered // MAX_SAMPLED))
    chosen = F.pmod(F.xxhash64("item_id"), F.lit(one_in)) == 0
    pairs = table.pairs.where(chosen).select("item_id", "similar_id")
    items = job.read("items", "ingest").select("item_id", "category")
    texts = job.read("tokens", "tokenize").select("item_id", "text")
    about = items.join(texts, "item_id", how="inner")
    mine = about.where(chosen).toDF("item_id", "mine", "my_text")
    theirs = about.toDF("similar_id", "theirs", "their_text")
    both = pairs.join(mine, "item_id", how="inner").join(theirs, "similar_id", how="inner")
    known = F.col("mine").isNotNull() & F.col("theirs").isNotNull()
    sums = both.agg(
        F.count("*").alias("pairs"),
        F.count_if(known).alias("known"),
        F.count_if(known & (F.col("mine") == F.col("theirs"))).alias("same"),
        F.count_if(F.col("my_text") == F.col("their_text")).alias("duplicates"),
    ).first()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    return {
        "sampled_one_in": one_in,
        "same_category": round(sums["same"] / sums["known"], 4) if sums["known"] else None,
        "duplicates_shown": round(sums["duplicates"] / sums["pairs"], 6) if sums["pairs"] else 0.0,
    }
