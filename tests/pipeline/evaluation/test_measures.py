import statistics

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

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
    result = measures.label_recall(NEAREST, labels, 5)
    assert len(expected) > 20
    np.testing.assert_allclose(result, expected)


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
    np.testing.assert_allclose(measures.partner_recall(NEAREST, left, right, 5), expected)


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


def test_the_interval_of_a_mean_is_1_96_standard_errors_to_each_side() -> None:
    values = [0.0, 0.5, 1.0, 1.0, 0.25]
    result = measures.estimate_mean(np.array(values))
    half = statistics.NormalDist().inv_cdf(0.975) * statistics.stdev(values) / 5**0.5
    expected = (0.55, 0.55 - half, 0.55 + half)
    assert (result.value, result.low, result.high) == pytest.approx(expected)
    assert measures.estimate_mean(np.array([0.5])) == measures.Estimate(0.5, None, None)


def test_bootstrap_draws_items_with_all_their_pairs_the_same_for_all_figures() -> None:
    owners = RNG.integers(0, 30, size=200)
    owners[:30] = np.arange(30)

    def share(weights: np.ndarray) -> float:
        # Pairs of one item come together or not at all.
        assert all(len(set(weights[owners == item])) == 1 for item in range(30))
        return float((weights * MATCH).sum() / weights.sum())

    result = measures.bootstrap([share, lambda weights: 1 - share(weights)], owners)
    np.testing.assert_allclose(result[0] + result[1], 1)
    assert np.array_equal(result, measures.bootstrap([share, lambda w: 1 - share(w)], owners))
    # The spread of a ratio of sums over items drawn independently (linearised).
    sums = np.bincount(owners, MATCH), np.bincount(owners)
    residuals = sums[0] - MATCH.mean() * sums[1]
    expected = np.sqrt((residuals**2).sum()) / 200
    assert result[0].std() == pytest.approx(expected, rel=0.1)
    estimate = measures.estimate_from_samples(float(MATCH.mean()), result[0])
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < MATCH.mean() < estimate.high
