"""Re-ranking against sums over features that are written down plainly, one pair after the other."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.fasttext.item_features import FeatureRows, ItemFeatures
from pipeline.retrieval import reranking
from pipeline.retrieval.reranking import ComparedItems, finer_scores, rerank
from pipeline.retrieval.vectors import to_bytes
from pipeline.storage.list_schemas import NEIGHBORS

Sums = dict[int, float]
SPLIT = 4


def rows_of(sums: list[Sums]) -> FeatureRows:
    pairs = [sorted(one.items()) for one in sums]
    flat = [pair for row in pairs for pair in row]
    return FeatureRows(
        np.array([number for number, _ in flat], dtype=np.int64),
        np.array([value for _, value in flat], dtype=np.float32),
        np.concatenate([[0], np.cumsum([len(row) for row in pairs])]).astype(np.int64),
    )


class Shop:
    """Random items, some without letters, words or codes, some equal."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(n)
        self.ids = [f"{number * 37 % n:03d}" for number in range(n)]
        self.vectors = rng.normal(size=(n, 10)).astype(np.float16)
        self.vectors[5], self.vectors[6] = self.vectors[4], 0
        self.vectors[7, SPLIT:] = 0

        def sums(most: int, kinds: int) -> list[Sums]:
            return [
                {int(c): float(rng.integers(1, 9)) / 4
                 for c in rng.integers(0, kinds, rng.integers(most))}
                for _ in range(n)
            ]  # fmt: skip

        self.letters = [
            {c: value / math.sqrt(sum(v * v for v in one.values())) for c, value in one.items()}
            for one in sums(30, 60)
        ]
        self.words, self.codes = sums(6, 12), sums(3, 4)
        for own in (self.letters, self.words, self.codes):
            own[5] = own[4]

    def items(self) -> ComparedItems:
        features = ItemFeatures(*map(rows_of, (self.letters, self.words, self.codes)))
        return ComparedItems.of(pa.array(self.ids), to_bytes(self.vectors), features, SPLIT)

    def score(self, i: int, j: int) -> float:
        """The finer score by its definition."""
        a, b = (self.vectors[n].astype(np.float64) for n in (i, j))
        letters = sum(v * self.letters[j].get(c, 0.0) for c, v in self.letters[i].items())
        exact = a[:SPLIT] @ b[:SPLIT]
        exact += np.linalg.norm(a[SPLIT:]) * np.linalg.norm(b[SPLIT:]) * letters
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        score = min(max(exact / norms, -1.0), 1.0) if norms else 0.0
        for features, weight in ((self.words, 0.15), (self.codes, 0.1)):
            own = sum(v * v for v in features[i].values())
            shared = sum(v * features[j].get(c, 0.0) for c, v in features[i].items())
            score += weight * shared / own if own else 0.0
        return float(score)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(40)


def test_scores_are_those_of_the_definition(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = (side.ravel() for side in np.indices((40, 40)))
    monkeypatch.setattr(reranking, "_VALUES", 100)
    found = finer_scores(shop.items(), left, right)
    expected = [shop.score(i, j) for i, j in zip(left.tolist(), right.tolist(), strict=True)]
    assert found == pytest.approx(expected, abs=1e-6)
    # The item's words count, not the candidate's.
    assert not np.allclose(found.reshape(40, 40), found.reshape(40, 40).T, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 6, 50])
def test_candidates_are_ranked_by_the_finer_score_and_their_boosts(shop: Shop, depth: int) -> None:
    rng = np.random.default_rng(2)
    places = {item: n for n, item in enumerate(shop.ids)}
    rows: list[dict[str, Any]] = []
    boosts = {}
    for n, item in enumerate(shop.ids[:20]):
        others = [other for other in rng.permutation(shop.ids)[:12].tolist() if other != item]
        # Some have fewer candidates, one has none; the two equal ones tie.
        others = others[:n] if n < 4 else [*dict.fromkeys([*others, shop.ids[4], shop.ids[5]])]
        neighbors = []
        for other in others:
            boost = float(rng.choice([0.0, 0.5, -0.25])) if other not in shop.ids[4:6] else 0.25
            boosts[item, other] = boost
            neighbors.append({"similar_id": other, "score": 0.125, "ranked_by": 0.125 + boost})
        rows.append({"item_id": item, "neighbors": neighbors})
    batch = pa.RecordBatch.from_pylist(rows, schema=NEIGHBORS)
    items = shop.items()
    found = rerank(batch, items.positions(batch["item_id"]), items, depth).to_pylist()
    assert [row["item_id"] for row in found] == shop.ids[:20]
    for row, given in zip(found, rows, strict=True):
        item, kept = row["item_id"], given["neighbors"][:depth]
        expected = {
            one["similar_id"]: shop.score(places[item], places[one["similar_id"]])
            + boosts[item, one["similar_id"]]
            for one in kept
        }
        shown = {one["similar_id"]: one["ranked_by"] for one in row["neighbors"]}
        assert shown == pytest.approx(expected, abs=1e-6)
        order = [(-one["ranked_by"], one["similar_id"]) for one in row["neighbors"]]
        assert order == sorted(order)
        assert {one["score"] for one in row["neighbors"]} <= {0.125}


def test_no_boosts_no_rows_and_no_candidates(shop: Shop) -> None:
    items = shop.items()
    rows = [{"item_id": shop.ids[1], "neighbors": []}, {"item_id": shop.ids[2], "neighbors": [
        {"similar_id": shop.ids[3], "score": 0.5, "ranked_by": None}]}]  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=NEIGHBORS)
    found = rerank(batch, items.positions(batch["item_id"]), items, 9).to_pylist()
    assert found[0]["neighbors"] == []
    (one,) = found[1]["neighbors"]
    assert one == {
        "similar_id": shop.ids[3],
        "score": 0.5,
        "ranked_by": pytest.approx(shop.score(2, 3), abs=1e-6),
    }
    none = rerank(batch[:0], np.zeros(0, np.int64), items, 9)
    assert none.num_rows == 0
