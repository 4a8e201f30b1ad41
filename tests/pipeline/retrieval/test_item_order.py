"""Rows in the order of item_id, cut into files."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval import item_order, packed_batches
from pipeline.retrieval.item_order import ItemRanges

_SCHEMA = pa.schema([("item_id", pa.string()), ("n", pa.int64())])


@pytest.mark.parametrize("count", [1, 4])
def test_files_one_after_the_other_have_all_rows_in_order(count: int) -> None:
    rng = np.random.default_rng(2)
    # Characters outside the basic plane sort behind all others, as in UTF-8.
    ids = [f"{letter}{n}" for letter in ("a", "あ", "𩸽", "ﾃ") for n in range(250)]
    ids = rng.permutation(ids).tolist()
    rows = pa.RecordBatch.from_pydict({"item_id": ids, "n": range(1000)}, schema=_SCHEMA)
    ranges = ItemRanges.from_sample(ids[:80], count)
    assert ranges.count == count
    sent = [*item_order.send(iter([rows[:300], rows[300:]]), ranges)]
    sizes, read = [], []
    for number in range(count):
        cells = [batch.filter(pa.array(np.asarray(batch["key"]) == number)) for batch in sent]
        for part in item_order.receive(iter(cells), _SCHEMA):
            sizes.append(part.num_rows)
            read += part.to_pylist()
    assert [row["item_id"] for row in read] == sorted(ids, key=str.encode)
    assert {row["item_id"]: row["n"] for row in read} == dict(zip(ids, range(1000), strict=True))
    assert max(sizes) < 1000 / count * 1.7


def test_a_bound_is_the_first_id_of_its_range() -> None:
    numbers = ItemRanges((b"b", b"d")).numbers(pa.array(["a", "b", "c", "d", "e"]))
    assert numbers.tolist() == [0, 1, 1, 2, 2]


def test_few_ids_give_fewer_ranges() -> None:
    assert ItemRanges.from_sample([], 3).count == 1
    assert ItemRanges.from_sample(["b", "a"], 5).count <= 3
    empty = pa.RecordBatch.from_pylist([], schema=_SCHEMA)
    assert not [*item_order.send(iter([empty]), ItemRanges((b"b",)))]
    cell = pa.RecordBatch.from_pylist([{"key": 0, "rows": b""}], schema=packed_batches.SCHEMA)
    assert [part.num_rows for part in item_order.receive(iter([cell]), _SCHEMA)] == [0]
