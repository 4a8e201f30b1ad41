"""Diverse lists, compared with the choice by its definition, one item after the other."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval import diversity
from pipeline.retrieval.diversity import Diversity, diversify
from pipeline.retrieval.vectors import to_bytes
from pipeline.storage.list_schemas import NEIGHBORS
from tests.pipeline.retrieval import oracle

Pairs = list[tuple[str, float]]


def candidates(
    ids: list[str], vectors: np.ndarray, depth: int, boosts: list[float]
) -> dict[str, list[tuple[str, float, float]]]:
    allowed = np.ones((len(ids), len(ids)), dtype=bool)
    return oracle.ranked_neighbors(ids, vectors, depth, allowed, oracle.Rules(own_boosts=boosts))


def rows_of(nearest: dict[str, list[tuple[str, float, float]]]) -> pa.RecordBatch:
    rows = [
        {
            "item_id": item,
            "neighbors": [dict(zip(("similar_id", "score", "ranked_by"), one, strict=True))
                          for one in best],
        }
        for item, best in nearest.items()
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schema=NEIGHBORS)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(("depth", "k"), [(12, 5), (5, 5), (3, 8), (40, 10)])
def test_lists_are_chosen_by_the_definition(
    share: float, depth: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 60
    ids = [f"{number * 37 % n:02d}" for number in range(n)]
    # Many vectors are equal, so that values tie.
    vectors = oracle.vectors(n, 6, seed=depth, duplicates=25)
    boosts = np.random.default_rng(k).choice([0.0, 0.1, -0.2], size=n).tolist()
    nearest = candidates(ids, vectors, depth, boosts)
    # Some items have fewer candidates, one has none.
    for place, item in enumerate(sorted(nearest)[:6]):
        nearest[item] = nearest[item][:place]
    monkeypatch.setattr(diversity, "_VALUES", 500)
    lists = diversify(
        rows_of(nearest), pa.array(ids), to_bytes(vectors), Diversity(share, depth, k)
    )
    expected = oracle.diverse_lists(ids, vectors, nearest, share, k)
    found = {row["item_id"]: row["neighbors"] for row in lists.to_pylist()}
    assert list(found) == list(nearest)
    scores = {(item, other): score for item, best in nearest.items() for other, score, _ in best}
    for item, best in expected.items():
        assert [one["similar_id"] for one in found[item]] == [other for other, _ in best]
        assert [one["score"] for one in found[item]] == [scores[item, other] for other, _ in best]
        values = [one["ranked_by"] for one in found[item]]
        assert values == pytest.approx([value for _, value in best], abs=1e-6)
        assert values == sorted(values, reverse=True)


def test_items_of_zero_length_and_no_rows() -> None:
    vectors = np.zeros((3, 2), dtype=np.float32)
    nearest = {"a": [("b", 0.0, 0.0), ("c", 0.0, 0.0)]}
    lists = diversify(rows_of(nearest), pa.array(["a", "b", "c"]), to_bytes(vectors),
                      Diversity(0.5, 9, 2))  # fmt: skip
    assert [one["similar_id"] for one in lists.to_pylist()[0]["neighbors"]] == ["b", "c"]
    none = diversify(rows_of({}), pa.array([], pa.string()), pa.array([], pa.binary()),
                     Diversity(0.5, 9, 2))  # fmt: skip
    assert none.num_rows == 0
