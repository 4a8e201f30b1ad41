import math
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, ndcg_score, roc_auc_score

from pipeline.evaluation import measures

RNG = np.random.default_rng(4)
# Each item's five nearest others; some have fewer.
NEAREST = np.stack([RNG.permutation(np.delete(np.arange(40), n))[:5] for n in range(40)])
NEAREST[RNG.random((40, 5)) < 0.1] = -1
# Few distinct scores: most pairs tie.
SCORES = RNG.integers(0, 12, size=200) / 16
MATCH = RNG.random(200) < 0.2 + SCORES / 2


def test_label_recall_is_what_counting_gives() -> None:
    labels = RNG.integers(-1, 12, size=40)
    labels[3] = 12  # a label that no other item has
    expected = []
    for item in range(40):
        same = [n for n in range(40) if n != item and labels[n] == labels[item]]
        if labels[item] == -1 or not same:
            continue
        near = sum(1 for n in NEAREST[item] if n != -1 and n in same)
        expected.append(near / min(5, len(same)))
    result = measures.recall(measures.label_hits(NEAREST, labels))
    assert len(expected) > 20
    np.testing.assert_allclose(result, expected)


def places_of_right_ones(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Every item that shares its label, and the gains of all others in the order of NEAREST."""
    rows = []
    for item in range(40):
        gains = (labels == labels[item]) & (labels >= 0)
        gains[item] = False
        if gains.any():
            rows.append((item, gains))
    return rows


def ranking(item: int) -> np.ndarray:
    """Scores of all items that put NEAREST first; what is not found has none above another."""
    scores = np.full(40, -1.0)
    for rank, other in enumerate(NEAREST[item]):
        if other != -1:
            scores[other] = 10.0 - rank
    return scores


def formula(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def test_ndcg_and_reciprocal_rank_are_those_of_scikit_learn_and_of_counting() -> None:
    labels = RNG.integers(-1, 9, size=40)
    hits = measures.label_hits(NEAREST, labels)
    rows = places_of_right_ones(labels)
    assert hits.items.tolist() == [item for item, _ in rows]
    gains = [[o != -1 and g[o] for o in NEAREST[item]] for item, g in rows]
    ideal = [sorted(g, reverse=True)[:5] for _, g in rows]
    expected = [formula(one) / formula(best) for one, best in zip(gains, ideal, strict=True)]
    np.testing.assert_allclose(measures.ndcg(hits), expected)
    # scikit-learn ranks all items; of an item with a gap it would count what was not found.
    whole = [n for n, (item, _) in enumerate(rows) if (NEAREST[item] >= 0).all()]
    assert 10 < len(whole) < len(rows)
    expected = [ndcg_score([rows[n][1]], [ranking(rows[n][0])], k=5) for n in whole]
    np.testing.assert_allclose(measures.ndcg(hits)[whole], expected)
    first = [
        next((1 / (r + 1) for r, o in enumerate(NEAREST[item]) if o != -1 and gains[o]), 0)
        for item, gains in rows
    ]
    assert len(set(first)) > 3
    np.testing.assert_allclose(measures.reciprocal_rank(hits), first)


def test_k_may_be_more_than_the_items_and_an_item_may_find_nothing() -> None:
    labels = np.array([0, 0, 0, -1, -1, 1])
    nearest = np.full((6, 9), -1)
    nearest[0, :5] = [3, 1, 4, 5, 2]
    nearest[3, :2] = [4, 0]  # no label is no common label
    hits = measures.label_hits(nearest, labels)
    assert hits.items.tolist() == [0, 1, 2]
    assert measures.recall(hits).tolist() == [1, 0, 0]
    assert measures.reciprocal_rank(hits).tolist() == [1 / 2, 0, 0]
    expected = (1 / math.log2(3) + 1 / math.log2(6)) / (1 + 1 / math.log2(3))
    assert measures.ndcg(hits).tolist() == pytest.approx([expected, 0, 0])
    shared = measures.shared_labels_ndcg({"current": nearest}, [labels, labels])["current"]
    assert shared[:3].tolist() == pytest.approx([expected, 0, 0])
    assert np.isnan(shared[3:]).all()


@pytest.mark.parametrize("block", [40 * 7, 1 << 20])
def test_shared_labels_are_gains_of_scikit_learns_ndcg(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(measures, "_BLOCK_PAIRS", block)
    labels = [RNG.integers(-1, size, size=40) for size in (3, 6, 15)]
    labels[0][5] = labels[1][5] = labels[2][5] = -1  # shares nothing
    result = measures.shared_labels_ndcg({"current": NEAREST}, labels)["current"]
    assert np.isnan(result[5])
    for item in np.flatnonzero((NEAREST >= 0).all(axis=1)).tolist():
        gains = sum(((c == c[item]) & (c >= 0)).astype(int) for c in labels)
        gains[item] = 0
        if gains.any():
            assert result[item] == pytest.approx(ndcg_score([gains], [ranking(item)], k=5))


def test_partner_recall_is_what_counting_gives() -> None:
    left, right = RNG.integers(0, 20, size=60), RNG.integers(20, 40, size=60)
    left[:3], right[:3] = 5, (30, 30, 31)  # a pair that comes twice, an item with two partners
    partners: dict[int, set[int]] = {}
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    expected = [
        len(partners[item] & set(NEAREST[item].tolist())) / min(5, len(partners[item]))
        for item in sorted(partners)
    ]
    assert any(share > 0 for share in expected)
    hits = measures.partner_hits(NEAREST, left, right)
    np.testing.assert_allclose(measures.recall(hits), expected)


def test_precision_and_auc_are_those_of_scikit_learn_with_ties_and_weights() -> None:
    assert measures.roc_auc(SCORES, MATCH) == pytest.approx(roc_auc_score(MATCH, SCORES))
    figure = measures.average_precision(SCORES, MATCH)
    assert figure(np.ones(200)) == pytest.approx(average_precision_score(MATCH, SCORES))
    weights = RNG.integers(0, 4, size=200).astype(np.float64)
    expected = average_precision_score(MATCH, SCORES, sample_weight=weights)
    assert figure(weights) == pytest.approx(expected)
    assert figure(np.where(MATCH, 0.0, 1.0)) == 0


def test_best_f1_is_the_highest_of_all_thresholds() -> None:
    thresholds = np.unique(SCORES).tolist()
    f1_scores = {threshold: f1_score(MATCH, threshold <= SCORES) for threshold in thresholds}
    value, best = measures.best_f1(SCORES, MATCH)
    assert value == pytest.approx(max(f1_scores.values()))
    assert f1_scores[best] == pytest.approx(value)
