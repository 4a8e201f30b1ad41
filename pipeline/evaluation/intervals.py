"""95% intervals of figures, by a seeded bootstrap, and an exact test of paired differences."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float64

SAMPLES = 1_000
_SEED = 0
# Draws that are in memory at a time.
_BLOCK_DRAWS = 1 << 22
# Values that differ by less differ by rounding only.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval; low and high are None where one value gives no interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference(Estimate):
    """By how much a figure is higher than that of another method, and for how many items.

    Attributes:
        higher: the number of items that it is higher for; None for a figure that items don't have.
        lower: the number of items that it is lower for.
        p: the p-value of the exact two-sided sign test: how likely numbers as unequal as these are
            if both methods are equally good.
    """

    higher: int | None = None
    lower: int | None = None
    p: float | None = None


def resampled_means(values: Float64) -> tuple[Float64, Float64]:
    """The means of columns of items' values, and those of bootstrap samples of the items.

    All columns have the same samples: differences of their means are paired.

    Args:
        values: float64[n, columns]; NaN for an item that is not measured.

    Returns:
        float64[columns] and float64[columns, samples]; NaN where no item is measured.
    """
    rng = np.random.default_rng(_SEED)
    is_measured = ~np.isnan(values)
    # Each column's values, then whether it has them: one product gives sums and counts.
    both = np.concatenate([np.where(is_measured, values, 0.0), is_measured], axis=1)
    columns, items = values.shape[1], len(values)
    means = np.empty((columns, SAMPLES))
    size = max(1, min(SAMPLES, _BLOCK_DRAWS // max(items, 1)))
    with np.errstate(invalid="ignore"):
        for start in range(0, SAMPLES, size):
            stop = min(start + size, SAMPLES)
            draws = [
                np.bincount(rng.integers(items, size=items), minlength=items)
                for _ in range(start, stop)
            ]
            sums = np.stack(draws).astype(np.float64) @ both
            means[:, start:stop] = (sums[:, :columns] / sums[:, columns:]).T
        sums = both.sum(axis=0)
        return sums[:columns] / sums[columns:], means


def from_samples(value: float, samples: Float64, measured: int) -> Estimate:
    """A figure with the percentile interval of its bootstrap samples.

    Args:
        value: the figure.
        samples: float64[samples]; NaN for a sample that has none of the items.
        measured: the number of items that it is a figure of; one gives no interval.
    """
    if measured < 2:
        return Estimate(float(value))
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def sign_test(differences: Float64) -> tuple[int, int, float]:
    """How many items' differences are above 0 and below, and the exact two-sided p-value.

    Args:
        differences: float64[n], NaN for an item that is not measured; those of 0 say nothing.
    """
    from scipy.stats import binomtest

    higher, lower = int((differences > _EQUAL).sum()), int((differences < -_EQUAL).sum())
    if not higher + lower:
        return 0, 0, 1.0
    return higher, lower, float(binomtest(higher, higher + lower).pvalue)


def bootstrap(figures: list[Callable[[Float64], float]], owners: Int64) -> Float64:
    """Figures of bootstrap samples, the same samples for all figures.

    The pairs of one item depend on each other, so items are drawn, each with all of its pairs.

    Args:
        figures: functions of the pairs' weights.
        owners: int64[pairs], the item that each pair belongs to, numbered from 0.

    Returns:
        float64[figures, samples].
    """
    rng = np.random.default_rng(_SEED)
    items = int(owners.max()) + 1
    samples = np.empty((len(figures), SAMPLES))
    for sample in range(SAMPLES):
        draws = np.bincount(rng.integers(items, size=items), minlength=items)
        weights = draws[owners].astype(np.float64)
        samples[:, sample] = [figure(weights) for figure in figures]
    return samples
