"""The quality of a table, against plain Python."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.retrieval.item_order import ItemRanges
from pipeline.stages.publish import pair_sums, quality
from pipeline.stages.publish.list_sources import lists_schema
from pipeline.stages.publish.sampled_rows import SampledRows
from pipeline.store.arrow_files import Rows
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
        schema=lists_schema(SIMILAR_ITEMS),
    )
    pairs = pa.Table.from_batches(pair_sums.pairs_of_lists(lists))
    assert pairs.to_pylist() == [
        {"item_id": row["item_id"], "rank": rank}
        | {name: neighbor[name] for name in ("similar_id", "score")}
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
    ranges = ItemRanges((b"i1", b"i4"))
    hubs = quality.hubs(Rows(pairs.select("similar_id"), iter), 301, ranges)
    top = min(shown, key=lambda item: (-shown[item], item))
    assert hubs["most_shown"] == {"item_id": top, "times": shown[top]}
    assert hubs["never_shown"] == 301 - len(shown)
    times = np.array([*shown.values(), *[0] * (301 - len(shown))])
    spread = np.abs(times[:, None] - times[None, :]).mean() / times.mean() / 2
    assert hubs["gini"] == pytest.approx(spread, abs=5e-5)
    assert "new_items" not in hubs
    # i3 and i77 are never shown.
    new = [f"i{item}" for item in (1, 3, 4, 77)]
    ids = spark.createDataFrame([(item,) for item in new], "item_id string")
    of_new = quality.hubs(Rows(pairs.select("similar_id"), iter), 301, ranges, Rows(ids, iter))
    in_lists = sum(shown[item] for item in new)
    assert of_new.pop("new_items") == {
        "items": 4,
        "mean_lists": in_lists / 4,
        "mean_lists_of_others": round((len(rows) - in_lists) / 297, 4),
    }
    assert of_new == hubs
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


def test_sameness_is_that_of_the_measured_pairs() -> None:
    items = {f"i{n}": (None if n % 7 == 0 else f"c{n % 3}", f"t{n % 50}") for n in range(200)}
    rows = [(f"i{n}", f"i{(n + step) % 200}") for n in range(200) for step in (3, 50, 77)]
    is_measured = [n % 2 == 0 for n in range(len(rows))]
    pairs = pa.table(
        {
            "item_id": [a for a, _ in rows],
            "similar_id": [b for _, b in rows],
            "is_measured": is_measured,
        }
    )
    described = pa.table(
        {
            "item_id": [*items],
            "category": [category for category, _ in items.values()],
            "text": [text for _, text in items.values()],
        }
    )
    nothing = pa.table({})
    measured = quality.sameness(SampledRows([], [], 5, 0, pairs, described, nothing))
    chosen = [(items[a], items[b]) for (a, b), m in zip(rows, is_measured, strict=True) if m]
    with_categories = [(a[0], b[0]) for a, b in chosen if a[0] and b[0]]
    same = sum(a == b for a, b in with_categories) / len(with_categories)
    duplicates = sum(a[1] == b[1] for a, b in chosen) / len(chosen)
    assert measured["sampled_one_in"] == 5
    assert measured["same_category"] == pytest.approx(same, abs=1e-4)
    assert measured["duplicates_shown"] == pytest.approx(duplicates, abs=1e-6)
    assert duplicates > 0


def test_a_table_without_pairs_has_empty_measures(spark: SparkSession) -> None:
    schema = "item_id string, rank int, similar_id string, score float"
    none = spark.createDataFrame([], schema)
    shown = Rows(none.select("similar_id"), iter)
    hubs = quality.hubs(shown, 4, ItemRanges(()))
    assert hubs == {"most_shown": None, "never_shown": 4, "gini": 0.0}
    sums = pair_sums.sums(none.toArrow())
    assert quality.scores(sums) == ({"quantiles": {}, "first": {}, "histogram": []}, 0)
