"""The quality of a table, against plain Python."""

from collections import Counter

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.stages.publish import quality


def test_the_gini_coefficient_is_half_the_relative_mean_difference() -> None:
    rng = np.random.default_rng(1)
    for values in (rng.integers(0, 9, 200), np.array([3, 3, 3]), np.array([0, 0, 0, 7])):
        spread = np.abs(values[:, None] - values[None, :]).mean() / values.mean() / 2
        distinct, counts = np.unique(values, return_counts=True)
        assert quality.gini(distinct.astype(float), counts) == pytest.approx(spread)
    assert quality.gini(np.array([0.0]), np.array([5])) == 0


def test_hubs_and_scores_are_those_of_all_pairs(spark: SparkSession) -> None:
    rng = np.random.default_rng(2)
    rows = [
        (f"i{item}", rank, f"i{int(rng.integers(6)) ** 2}", float(np.float32(rng.uniform(-0.2, 1))))
        for item in range(300)
        for rank in (1, 2, 3)
    ]
    rows.append(("i300", 1, "i0", 1.0))
    schema = "item_id string, rank int, similar_id string, score float"
    pairs = spark.createDataFrame(rows, schema)
    shown = Counter(row[2] for row in rows)
    hubs = quality.hubs(pairs, 301)
    top = min(shown, key=lambda item: (-shown[item], item))
    assert hubs["most_shown"] == {"item_id": top, "times": shown[top]}
    assert hubs["never_shown"] == 301 - len(shown)
    times = np.array([*shown.values(), *[0] * (301 - len(shown))])
    spread = np.abs(times[:, None] - times[None, :]).mean() / times.mean() / 2
    assert hubs["gini"] == pytest.approx(spread, abs=5e-5)
    scores, items = quality.scores(pairs)
    assert items == 301
    all_scores = [row[3] for row in rows]
    assert scores["quantiles"]["0.5"] == pytest.approx(np.quantile(all_scores, 0.5), abs=0.01)
    assert scores["first"]["0.9"] == pytest.approx(
        np.quantile([row[3] for row in rows if row[1] == 1], 0.9), abs=0.02
    )
    steps = dict(map(tuple, scores["histogram"]))
    assert sum(steps.values()) == len(rows)
    assert max(steps) == 0.99
    assert steps[0.99] == sum(score >= 0.99 for score in all_scores)
    assert steps[0.0] == sum(0 <= score < 0.01 for score in all_scores)
    assert steps[-0.1] == sum(-0.1 <= score < -0.09 for score in all_scores)


def test_a_table_without_pairs_has_empty_measures(spark: SparkSession) -> None:
    schema = "item_id string, rank int, similar_id string, score float"
    none = spark.createDataFrame([], schema)
    assert quality.hubs(none, 4) == {"most_shown": None, "never_shown": 4, "gini": 0.0}
    assert quality.scores(none) == ({"quantiles": {}, "first": {}, "histogram": []}, 0)
