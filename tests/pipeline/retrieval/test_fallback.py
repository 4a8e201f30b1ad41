"""Filling lists, against plain Python."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval import fallback
from pipeline.retrieval.pair_edits import DENIED
from pipeline.retrieval.rules import Rules
from pipeline.storage.list_schemas import TOP_ITEM, TRAITS, list_of
from tests.pipeline.stages import fallback_oracle as oracle

K = 4
_ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        *(TRAITS.field(name) for name in ("price", "differ", "edits", "edited_as_item")),
        ("neighbors", list_of(fallback.LISTED)),
        ("candidates", list_of(TOP_ITEM)),
    ]
)


def _catalogue(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"i{number:02d}",
            "price": [None, 0.0, 900.0, 1000.0, 2100.0][rng.integers(5)],
            "group": [None, None, *range(1, 7)][rng.integers(8)],
            "brand": [None, 1, 2, 3][rng.integers(4)],
            "sold": [None, 0.0, 3.0, 5.0][rng.integers(4)],
        }
        for number in range(40)
    ]


def _hashes(row: dict[str, Any], *names: str) -> list[int]:
    return [row[name] or 0 for name in names]


@pytest.mark.parametrize("seed", range(6))
def test_lists_are_filled_as_brute_force_fills_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = _catalogue(rng)
    by_id = {row["item_id"]: row for row in rows}
    pairs = rng.choice([*by_id], (80, 2))
    rules = oracle.Rules(
        differ=["group"],
        caps=[("group", 1), ("brand", 2)],
        price_ratio=(0.5, 1.5),
        denied=frozenset((str(a), str(b)) for a, b in pairs),
    )
    best = [row for row in rows if row["sold"] is not None]
    best.sort(key=lambda row: (-row["sold"], row["item_id"]))
    # Neighbours that no rule was asked for: they stay, and count for the caps. Some are candidates.
    found = {
        item: [(str(other), 0.5) for other in rng.choice(ids, rng.integers(K), replace=False)]
        for n, item in enumerate(by_id)
        for ids in ([[*by_id], [row["item_id"] for row in best[:6]]][n % 2],)
    }
    expected = oracle.fill(rows, found, [*by_id], [("by sold", "", "sold")], rules, K)
    candidates = [
        {
            "item_id": row["item_id"],
            "price": row["price"],
            "differ": _hashes(row, "group"),
            "capped": _hashes(row, "group", "brand"),
        }
        for row in best
    ]
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "item_id": row["item_id"],
                "price": row["price"],
                "differ": _hashes(row, "group"),
                "edits": [
                    {"similar_id": b, "boost": DENIED}
                    for a, b in rules.denied
                    if a == row["item_id"]
                ],
                "neighbors": [
                    {"similar_id": other, "score": score}
                    | {"capped": _hashes(by_id[other], "group", "brand")}
                    for other, score in found[row["item_id"]]
                ],
                "candidates": candidates,
            }
            for row in rows
        ],
        schema=_ROWS,
    )
    # The bounds of the score are no rule for what has none.
    settings = Rules((0.5, 1.5), 0.9, 0.95, 1, deny=True, caps=(1, 2))
    filled = fallback.fill(batch, "by sold", settings, K).to_pylist()
    lists = {
        row["item_id"]: [(one["similar_id"], one["score"], one["reason"]) for one in entries]
        for row, entries in zip(rows, filled, strict=True)
    }
    assert {item: entries for item, entries in lists.items() if entries} == expected
    assert sum(entry[2] is not None for entries in lists.values() for entry in entries) > 20
    # A batch of one row, or of a part of them, gives the same.
    parts = [fallback.fill(batch.slice(n, 7), "by sold", settings, K) for n in range(0, 40, 7)]
    assert pa.concat_arrays(parts).to_pylist() == filled


def test_a_text_that_is_no_item_is_filled_and_no_candidates_fill_nothing() -> None:
    one = {"item_id": "a", "price": None, "differ": None, "capped": None}
    rows = [
        {"item_id": None, "candidates": [one, one | {"item_id": "b"}]},
        {"item_id": "a", "candidates": [one]},
        {"item_id": "c", "neighbors": [{"similar_id": "a", "score": 0.5}], "candidates": None},
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=_ROWS)
    lists = fallback.fill(batch, "by sold", Rules(), 1).to_pylist()
    assert [[entry["similar_id"] for entry in entries] for entries in lists] == [["a"], [], ["a"]]
    assert fallback.fill(batch.slice(0, 0), "by sold", Rules(), 1).to_pylist() == []


def test_a_list_takes_candidates_from_ten_times_its_places() -> None:
    sizes = [fallback.candidates_of_group(k) for k in (1, 10, 100, 250, 1000)]
    assert sizes == [10, 100, 1000, 1000, 1000]
