"""The quality of a table, for the run's page: coverage, scores, hubs, sameness.

The first three are computed on all pairs; sameness, which reads the items, on a sample.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import item_order, packed_batches
from pipeline.retrieval.item_order import ItemRanges
from pipeline.stages.publish import sorted_tables
from pipeline.stages.publish.pair_sums import ALL, FIRST, STEPS
from pipeline.stages.publish.sampled_rows import SampledRows
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import ddl

# How often an item is shown, and whether it is new; and how many items are shown so often, with the
# first of them by id, and how many of them are new.
_SHOWN = pa.schema([("item_id", pa.string()), ("times", pa.int64()), ("is_new", pa.bool_())])
_TIMES = pa.schema(
    [("times", pa.int64()), ("items", pa.int64()), ("first", pa.string()), ("new", pa.int64())]
)
_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


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


def hubs(shown: Rows, items: int, ranges: ItemRanges, new: Rows | None = None) -> dict[str, Any]:
    """How evenly items are shown: the most shown item, how many are never shown, and the Gini.

    If it is known which items are new, also in how many lists they are, and the others.

    Args:
        shown: similar_id, one row for each time that an item is shown; if possible in the order of
            the lists, where the rows of one item are near each other, which makes counting cheap.
        items: how many items the catalogue has.
        ranges: which items a task counts.
        new: item_id of the items that are new; None if that is not known.
    """

    def send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return item_order.send(_counted(batches), ranges)

    def send_new(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return item_order.send(_marked_new(batches), ranges)

    sources = [shown.map(send), *([] if new is None else [new.map(send_new)])]
    counts = sorted_tables.shuffled(sources, ranges, _times)
    # Collected: one row for each distinct number of times, which are few in any catalogue.
    rows = counts.frame.mapInArrow(counts.run, ddl(_TIMES)).toArrow().to_pylist()
    by_times, new_by_times = Counter[int](), Counter[int]()
    for row in rows:
        by_times[row["times"]] += row["items"]
        new_by_times[row["times"]] += row["new"]
    # New items that are never shown were sent too.
    del by_times[0]
    most = max(by_times, default=0)
    top = min((row["first"].encode() for row in rows if row["times"] == most), default=None)
    never = max(0, items - sum(by_times.values()))
    times, holders = (np.array([*v], dtype=np.float64) for v in (by_times, by_times.values()))
    return {
        "most_shown": top and {"item_id": top.decode(), "times": most},
        "never_shown": never,
        "gini": round(gini(np.append(times, 0), np.append(holders, never)), 4),
        **({} if new is None else _exposure_of_new(by_times, new_by_times, items)),
    }


def _exposure_of_new(
    by_times: Counter[int], new_by_times: Counter[int], items: int
) -> dict[str, Any]:
    """In how many lists new items are, and all others, on average; None where there are none.

    Args:
        by_times: how many items are shown how often.
        new_by_times: how many of them are new; with those that are never shown.
        items: how many items the catalogue has.
    """
    places, new_places = (
        sum(times * count for times, count in counts.items()) for counts in (by_times, new_by_times)
    )
    new = new_by_times.total()
    old = items - new
    return {
        "new_items": {
            "items": new,
            "mean_lists": round(new_places / new, 4) if new else None,
            "mean_lists_of_others": round((places - new_places) / old, 4) if old else None,
        }
    }


def _marked_new(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """New items as rows of _SHOWN: shown no times more."""
    for rows in batches:
        columns = [rows["item_id"], np.zeros(rows.num_rows, np.int64), np.ones(rows.num_rows, bool)]
        yield pa.RecordBatch.from_arrays([*map(pa.array, columns)], schema=_SHOWN)


def _counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """How often items are shown, as rows of _SHOWN; an item may have several of them."""
    for rows in packed_batches.coalesce(batches):
        counts = pc.value_counts(rows["similar_id"])
        is_new = pa.array(np.zeros(len(counts), dtype=bool))
        columns = [counts.field("values"), counts.field("counts"), is_new]
        yield pa.RecordBatch.from_arrays(columns, schema=_SHOWN)


def _times(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """How many items are shown how often, and the first of them, as rows of _TIMES."""
    for rows in item_order.receive(batches, _SHOWN):
        if not rows.num_rows:
            continue
        ids, is_new = rows["item_id"], np.ones(rows.num_rows, dtype=bool)
        is_new[1:] = np.asarray(pc.not_equal(ids[1:], ids[:-1]))
        starts = np.flatnonzero(is_new)
        totals = np.add.reduceat(rows["times"].to_numpy(), starts)
        are_new = np.add.reduceat(np.asarray(rows["is_new"]).astype(np.int64), starts)
        times, first, group, items = np.unique(
            totals, return_index=True, return_inverse=True, return_counts=True
        )
        new = np.bincount(group, weights=are_new).astype(np.int64)
        firsts = ids.take(pa.array(starts[first]))
        columns = [pa.array(times), pa.array(items), firsts, pa.array(new)]
        yield pa.RecordBatch.from_arrays(columns, schema=_TIMES)


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


def sameness(sampled: SampledRows) -> dict[str, Any]:
    """On a sample: the shares of neighbours with the same category and with the same text."""
    pairs, items = sampled.pairs.filter(sampled.pairs["is_measured"]), sampled.items
    own, other = (
        items.take(pc.index_in(pairs[name], items["item_id"])) for name in ("item_id", "similar_id")
    )
    same_category = pc.equal(own["category"], other["category"])
    with_categories = len(same_category) - same_category.null_count
    same = pc.sum(same_category, min_count=0).as_py()
    duplicates = pc.sum(pc.equal(own["text"], other["text"]), min_count=0).as_py()
    return {
        "sampled_one_in": sampled.one_in,
        "same_category": round(same / with_categories, 4) if with_categories else None,
        "duplicates_shown": round(duplicates / pairs.num_rows, 6) if pairs.num_rows else 0.0,
    }
