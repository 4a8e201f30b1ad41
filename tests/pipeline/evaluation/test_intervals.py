import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation import intervals

RNG = np.random.default_rng(4)
MATCH = RNG.random(200) < 0.4


def test_intervals_of_means_are_those_of_scipys_bootstrap() -> None:
    values = RNG.beta(0.5, 0.3, size=(300, 2))
    values[:, 1] = np.clip(values[:, 0] + RNG.normal(0.02, 0.1, size=300), 0, 1)
    columns = np.column_stack([values, values[:, 0] - values[:, 1]])
    means, samples = intervals.resampled_means(columns)
    np.testing.assert_allclose(means, columns.mean(axis=0))
    # Differences are paired: the same items are drawn for both methods.
    np.testing.assert_allclose(samples[2], samples[0] - samples[1])
    for column, mean, row in zip(columns.T, means, samples, strict=True):
        estimate = intervals.from_samples(mean, row, 300)
        theirs = stats.bootstrap(
            (column,),
            np.mean,
            n_resamples=20_000,
            method="percentile",
            rng=np.random.default_rng(1),
        ).confidence_interval
        assert estimate.low is not None
        assert estimate.high is not None
        width = theirs.high - theirs.low
        assert estimate.low == pytest.approx(theirs.low, abs=0.06 * width)
        assert estimate.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_items_that_are_not_measured_are_left_out_and_one_gives_no_interval() -> None:
    values = np.full((50, 3), np.nan)
    values[:20, 0] = np.arange(20)
    values[7, 1] = 0.5
    means, samples = intervals.resampled_means(values)
    assert means[:2].tolist() == [9.5, 0.5]
    assert np.isnan(means[2])
    assert samples[0].std() == pytest.approx(np.arange(20).std() / 20**0.5, rel=0.15)
    assert intervals.from_samples(0.5, samples[1], 1) == intervals.Estimate(0.5, None, None)


def test_samples_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = RNG.random((30, 2))
    expected = intervals.resampled_means(values)[1]
    monkeypatch.setattr(intervals, "_BLOCK_DRAWS", 7 * 30)
    np.testing.assert_allclose(intervals.resampled_means(values)[1], expected)


def test_the_sign_test_is_the_binomials_and_passes_over_ties() -> None:
    differences = np.array([0.1] * 9 + [-0.3] * 2 + [0.0, 1e-12, np.nan])
    higher, lower, p = intervals.sign_test(differences)
    assert (higher, lower) == (9, 2)
    # Of 11 tosses 9 or more, or 2 or fewer, are heads: 2 * (1 + 11 + 55) of 2^11.
    assert p == pytest.approx(134 / 2048)
    assert intervals.sign_test(np.array([0.0, np.nan])) == (0, 0, 1.0)


def test_bootstrap_draws_items_with_all_their_pairs_the_same_for_all_figures() -> None:
    owners = RNG.integers(0, 30, size=200)
    owners[:30] = np.arange(30)

    def share(weights: np.ndarray) -> float:
        # Pairs of one item come together or not at all.
        assert all(len(set(weights[owners == item])) == 1 for item in range(30))
        return float((weights * MATCH).sum() / weights.sum())

    result = intervals.bootstrap([share, lambda weights: 1 - share(weights)], owners)
    np.testing.assert_allclose(result[0] + result[1], 1)
    assert np.array_equal(result, intervals.bootstrap([share, lambda w: 1 - share(w)], owners))
    # The spread of a ratio of sums over items drawn independently (linearised).
    sums = np.bincount(owners, MATCH), np.bincount(owners)
    residuals = sums[0] - MATCH.mean() * sums[1]
    expected = np.sqrt((residuals**2).sum()) / 200
    assert result[0].std() == pytest.approx(expected, rel=0.1)
    estimate = intervals.from_samples(float(MATCH.mean()), result[0], 200)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < MATCH.mean() < estimate.high
