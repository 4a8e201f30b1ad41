"""Two versions compared by the samples of lists that were written with them."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from pipeline.stages.publish import pair_sums
from pipeline.stages.publish.comparison import SampleLists, compare_samples
from pipeline.store.schemas import SAMPLE_LISTS, SIMILAR_ITEMS

Lists = dict[str, list[str]]


def _sample(lists: Lists, orders: dict[str, int], bound: int) -> SampleLists:
    rows = [
        {"item_id": item, "order": orders[item], "similar_ids": best}
        for item, best in lists.items()
        if orders[item] <= bound
    ]
    by_rank = Counter(rank for best in lists.values() for rank in range(len(best)))
    return SampleLists(
        pa.Table.from_pylist(rows, SAMPLE_LISTS), bound, [by_rank[n] for n in sorted(by_rank)]
    )


@pytest.mark.parametrize("k", [2, 5])
def test_items_in_both_samples_are_compared_up_to_k(k: int) -> None:
    rng = np.random.default_rng(1)
    ids = [f"i{n}" for n in range(300)]
    orders = {item: int(order) for item, order in zip(ids, rng.permutation(300), strict=True)}

    def lists(items: list[str]) -> Lists:
        sizes = rng.integers(1, 5, len(items)).tolist()
        drawn = (rng.permutation(9)[:size].astype(str).tolist() for size in sizes)
        return dict(zip(items, drawn, strict=True))

    before, after = lists(ids[:250]), lists(ids[20:])
    change = compare_samples(_sample(before, orders, 290), _sample(after, orders, 40), k)
    common = [item for item in ids[20:250] if orders[item] <= 40]
    assert change.common == len(common)
    assert change.entries == sum(len(before[item][:k]) for item in common)
    assert change.replaced == sum(
        len(set(before[item][:k]) - set(after[item][:k])) for item in common
    )
    assert (change.items_before, change.items) == (250, 280)
    assert change.rows_before == sum(len(best[:k]) for best in before.values())
    assert change.rows == sum(len(best[:k]) for best in after.values())
    # Of 280 items about 40 are in both samples.
    assert change.one_in in (7, 8)


def test_versions_without_pairs_are_compared() -> None:
    none = _sample({}, {}, 7)
    change = compare_samples(none, none, 3)
    assert (change.items, change.rows, change.common, change.churn) == (0, 0, 0, 0)


def test_rows_are_counted_by_rank() -> None:
    rows = [("a", 1), ("a", 2), ("b", 1), ("c", 1), ("c", 2), ("c", 3)]
    pairs = pa.table(
        {
            "item_id": [item for item, _ in rows],
            "rank": [rank for _, rank in rows],
            "similar_id": ["d"] * 6,
            "score": [0.5] * 6,
        },
        schema=SIMILAR_ITEMS,
    )
    assert pair_sums.rows_by_rank(pair_sums.sums(pairs)) == [3, 2, 1]
    assert pair_sums.rows_by_rank({}) == []
