"""The quality of a table, against plain Python."""

from collections import Counter
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.stages.context import Job
from pipeline.stages.publish import pair_sums, quality
from pipeline.stages.publish.sorted_tables import LISTS_OF_ITEMS
from pipeline.store.schemas import SIMILAR_ITEMS


def test_the_gini_coefficient_is_half_the_relative_mean_difference() -> None:
    rng = np.random.default_rng(1)
    for values in (rng.integers(0, 9, 200), np.array([3, 3, 3]), np.array([0, 0, 0, 7])):
        spread = np.abs(values[:, None] - values[None, :]).mean() / values.mean() / 2
        distinct, counts = np.unique(values, return_counts=True)
        assert quality.gini(distinct.astype(float), counts) == pytest.approx(spread)
    assert quality.gini(np.array([0.0]), np.array([5])) == 0


def test_sums_do_not_depend_on_the_order_and_tell_wrong_rows() -> None:
    rng = np.random.default_rng(4)
    lists = pa.RecordBatch.from_pylist(
        [
            {
                "item_id": f"i{item}",
                "neighbors": [
                    {"similar_id": f"i{other}", "score": float(rng.uniform(-1, 1))}
                    for other in rng.integers(0, 50, item % 5)
                ],
            }
            for item in range(50)
        ],
        schema=LISTS_OF_ITEMS,
    )
    pairs = pa.Table.from_batches(pair_sums.pairs_of_lists(lists))
    assert pairs.to_pylist() == [
        {"item_id": row["item_id"], "rank": rank, **neighbor}
        for row in lists.to_pylist()
        for rank, neighbor in enumerate(row["neighbors"], 1)
    ]
    whole = pair_sums.digest_sums(pairs)
    shuffled = pairs.take(rng.permutation(pairs.num_rows))
    assert pair_sums.digest_sums(shuffled) == whole
    parts = [pair_sums.digest_sums(part) for part in (shuffled[:30], shuffled[30:])]
    assert {name: sum(part[name] for part in parts) for name in whole} == whole
    # Two neighbours that are exchanged keep all values of all columns.
    for column in ("similar_id", "score", "rank"):
        exchanged = pairs[column].take([1, 0, *range(2, pairs.num_rows)])
        wrong = pairs.set_column(pairs.column_names.index(column), column, exchanged)
        if wrong != pairs:
            assert pair_sums.digest_sums(wrong) != whole
    odd = pa.table(
        {"item_id": ["a", "a", "b"], "rank": [1, 2, 1], "similar_id": ["a", "b", "a"],
         "score": [0.5, float("nan"), 1.5]}, schema=SIMILAR_ITEMS
    )  # fmt: skip
    sums = pair_sums.sums(odd)
    assert (sums[pair_sums.OWN], sums[pair_sums.ODD]) == (1, 2)


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
    scores, items = quality.scores(pair_sums.sums(pairs.toArrow()))
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


@pytest.mark.parametrize("most", [20_000, 40])
def test_sameness_is_that_of_the_sampled_items(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(quality, "MAX_SAMPLED", most)
    items = {f"i{n}": (None if n % 7 == 0 else f"c{n % 3}", f"t{n % 50}") for n in range(200)}
    rows = [(f"i{n}", f"i{(n + step) % 200}") for n in range(200) for step in (3, 50, 77)]
    pairs = spark.createDataFrame(rows, "item_id string, similar_id string")
    ids = spark.createDataFrame([(item,) for item in items], "item_id string")
    one_in = -(-200 // most)
    hashed = ids.where(f"pmod(xxhash64(item_id), {one_in}) = 0").collect()
    sampled = {row["item_id"] for row in hashed}
    frames = {
        "items": spark.createDataFrame(
            [(item, category) for item, (category, _) in items.items()],
            "item_id string, category string",
        ),
        "tokens": spark.createDataFrame(
            [(item, text) for item, (_, text) in items.items()], "item_id string, text string"
        ),
    }

    class Tables:
        def read(self, table: str, _stage: str) -> DataFrame:
            return frames[table]

    measured = quality.sameness(cast("Job", Tables()), pairs, 200)
    chosen = [(items[a], items[b]) for a, b in rows if a in sampled]
    with_categories = [(a[0], b[0]) for a, b in chosen if a[0] and b[0]]
    same = sum(a == b for a, b in with_categories) / len(with_categories)
    duplicates = sum(a[1] == b[1] for a, b in chosen) / len(chosen)
    assert measured["sampled_one_in"] == one_in
    assert measured["same_category"] == pytest.approx(same, abs=1e-4)
    assert measured["duplicates_shown"] == pytest.approx(duplicates, abs=1e-6)


def test_a_table_without_pairs_has_empty_measures(spark: SparkSession) -> None:
    schema = "item_id string, rank int, similar_id string, score float"
    none = spark.createDataFrame([], schema)
    assert quality.hubs(none, 4) == {"most_shown": None, "never_shown": 4, "gini": 0.0}
    sums = pair_sums.sums(none.toArrow())
    assert quality.scores(sums) == ({"quantiles": {}, "first": {}, "histogram": []}, 0)
