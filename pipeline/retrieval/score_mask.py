"""The rules on a matrix of scores of queries and candidates: what is excluded, and the boosts.

A pair is excluded by taking a large number from its score, without branches, which take long where
neighbouring pairs are treated differently.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.pair_edits import DENIED, EditedPairs, add_to_matrix
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import Bools, Rules, Traits
from pipeline.retrieval.vectors import Float32, Float64

# What is taken from the score of a pair that is excluded.
EXCLUDED = 1e30
# Pairs are looked up one by one where they are less than one of so many.
_FEW = 20


@dataclass(frozen=True)
class CosineBounds:
    """The least and the greatest cosine of the rules, for cosines in float32.

    Attributes:
        possible: what is outside of these is out of the rules' bounds for certain.
        certain: what is within these is within the rules' bounds for certain.
    """

    possible: tuple[np.float32, np.float32]
    certain: tuple[np.float32, np.float32]

    @classmethod
    def of(cls, rules: Rules, margin: float) -> "CosineBounds":
        """The bounds of some rules; cosines are exact but for the margin."""
        low = rules.min_score if rules.min_score > -1 else -2.0
        high = rules.max_score if rules.max_score < 1 else 2.0
        return cls(
            (np.float32(low - margin), np.float32(high + margin)),
            (np.float32(low + margin), np.float32(high - margin)),
        )

    def apply(self, product: Float32) -> Int64:
        """Exclude cosines that are out of bounds for certain, in place.

        Args:
            product: float32[n, m], in one piece of memory.

        Returns:
            int64[pairs], places in the flat product: which of the others may be out of bounds.
        """
        flat = product.reshape(-1)
        uncertain = np.empty(0, dtype=np.int64)
        if self.certain[1] < 1:
            # Few pairs are so near.
            above = np.flatnonzero(flat > self.certain[1])
            is_possible = flat[above] <= self.possible[1]
            flat[above[~is_possible]] = -np.inf
            uncertain = above[is_possible]
        if self.certain[0] > -1:
            np.copyto(flat, -np.inf, where=flat < self.possible[0])
            below = np.flatnonzero((flat >= self.possible[0]) & (flat < self.certain[0]))
            uncertain = np.concatenate([uncertain, below])
        return uncertain


@dataclass(frozen=True)
class _PriceBounds:
    """The prices that candidates of each query may have, as whole numbers, which compare fast.

    A price is its place among the distinct prices of the candidates.

    Attributes:
        least: int32[queries], the least that is allowed.
        greatest: int32[queries], the greatest.
        low: int32[candidates], what is compared with the least; an unknown price is above all.
        high: int32[candidates], what is compared with the greatest; an unknown price is below all.
    """

    least: npt.NDArray[np.int32]
    greatest: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]

    @classmethod
    def of(cls, own: Float64, other: Float64, bounds: tuple[float, float]) -> "_PriceBounds":
        """The bounds of queries with some prices, for candidates with other prices."""
        is_known = ~np.isnan(other)
        prices, places = np.unique(other[is_known], return_inverse=True)
        low = np.full(len(other), np.iinfo(np.int32).max, dtype=np.int32)
        high = np.full(len(other), -1, dtype=np.int32)
        low[is_known] = high[is_known] = places
        least = np.full(len(own), -1, dtype=np.int64)
        greatest = np.full(len(own), np.iinfo(np.int32).max, dtype=np.int64)
        known = np.flatnonzero(~np.isnan(own))
        if len(prices):
            least[known] = _count_below(prices, own[known], bounds[0], is_strict=True)
            greatest[known] = _count_below(prices, own[known], bounds[1], is_strict=False) - 1
        return cls(least.astype(np.int32), greatest.astype(np.int32), low, high)

    def apply(self, scores: Float32, rows: Int64, columns: slice, scratch: Float32) -> None:
        """Lower the scores of excluded pairs by EXCLUDED; arguments as for `ScoreMask.apply`."""
        mask = self.low[columns] < self.least[rows][:, None]
        mask |= self.high[columns] > self.greatest[rows][:, None]
        _add_where(scores, -EXCLUDED, mask, scratch)


def _add_where(scores: Float32, value: float, mask: Bools, scratch: Float32) -> None:
    """Add a value to some scores, in place; without branches, which take long if few are alike."""
    np.multiply(mask, np.float32(value), out=scratch)
    scores += scratch


def _count_below(prices: Float64, own: Float64, bound: float, *, is_strict: bool) -> Int64:
    """For each own price, how many prices divided by it are below a bound: int64[n].

    Args:
        prices: float64[m], ascending.
        own: float64[n].
        bound: the bound.
        is_strict: whether a quotient that is the bound is not below it.
    """

    def is_below(places: Int64) -> Bools:
        quotients = prices[places] / own
        below: Bools = quotients < bound if is_strict else quotients <= bound
        return below

    counts = np.searchsorted(prices, bound * own, side="left" if is_strict else "right")
    # The product may be rounded otherwise than the quotient.
    while (is_less := (counts > 0) & ~is_below(np.maximum(counts - 1, 0))).any():
        counts = counts - is_less
    last = len(prices) - 1
    while (is_more := (counts <= last) & is_below(np.minimum(counts, last))).any():
        counts = counts + is_more
    return counts


class EqualPairs:
    """Which candidates have a query's own value, in a column of hashes; 0 is no value."""

    def __init__(self, left: Int64, right: Int64) -> None:
        """Take the values of queries and candidates: int64[n], int64[m]."""
        distinct = np.unique(right)
        places = np.minimum(np.searchsorted(distinct, left), max(len(distinct) - 1, 0))
        is_there = (distinct[places] == left) & (left != 0) if len(distinct) else left < left
        self._left = np.where(is_there, places, -1).astype(np.int32)
        self._right = np.searchsorted(distinct, right).astype(np.int32)
        # Of a run of candidates the order by value: (start, stop) -> places and values.
        self._orders: dict[int, tuple[Int64, npt.NDArray[np.int32]]] = {}

    def add(
        self, scores: Float32, rows: Int64, columns: slice | Int64, value: float, scratch: Float32
    ) -> None:
        """Add to the scores of pairs with equal values; arguments as for `ScoreMask.apply`."""
        pairs = self._few_pairs(rows, columns)
        if pairs is not None:
            scores[pairs] += np.float32(value)
        else:
            is_equal = self._left[rows][:, None] == self._right[columns]
            _add_where(scores, value, is_equal, scratch)

    def _order(self, columns: slice | Int64) -> tuple[Int64, npt.NDArray[np.int32]]:
        """Some candidates in the order of their values, and the values; those of runs are kept."""
        known = self._orders.get(columns.start) if isinstance(columns, slice) else None
        if known is not None:
            return known
        order = np.argsort(self._right[columns], kind="stable")
        ordered = order, self._right[columns][order]
        if isinstance(columns, slice):
            self._orders[columns.start] = ordered
        return ordered

    def _few_pairs(self, rows: Int64, columns: slice | Int64) -> tuple[Int64, Int64] | None:
        """The pairs with equal values: rows and columns of the scores; None if they are many."""
        order, values = self._order(columns)
        own = self._left[rows]
        first = np.searchsorted(values, own, side="left")
        counts = np.searchsorted(values, own, side="right") - first
        if counts.sum() * _FEW > len(rows) * len(values):
            return None
        return np.repeat(np.arange(len(rows)), counts), order[concat_ranges(first, counts)]


class ScoreMask:
    """The rules on a matrix of cosines of queries and candidates: a mask, and the boosts."""

    def __init__(self, rules: Rules, left: Traits, right: Traits, edited: EditedPairs) -> None:
        """Take the traits of queries and candidates, and the edited pairs of positions in both."""
        self._rules, self._left, self._right = rules, left, right
        self._prices = None
        if rules.price_ratio is not None:
            self._prices = _PriceBounds.of(left.price, right.price, rules.price_ratio)
        pairs = zip(left.differ, right.differ, strict=True)
        self._differ = [EqualPairs(own, other) for own, other in pairs]
        pairs = zip(left.boosts.matches, right.boosts.matches, strict=True)
        self._matches = [EqualPairs(own, other) for own, other in pairs]
        self._edited = edited

    def apply(self, scores: Float32, rows: Int64, columns: slice, scratch: Float32) -> None:
        """Lower the scores of excluded pairs by EXCLUDED, in place.

        Args:
            scores: float32[n, m].
            rows: int64[n], the positions of the queries.
            columns: the positions of the m candidates.
            scratch: float32[n, m], overwritten.
        """
        if self._prices is not None:
            self._prices.apply(scores, rows, columns, scratch)
        for differ in self._differ:
            differ.add(scores, rows, columns, -EXCLUDED, scratch)
        row, column, boosts = self._edited.in_matrix(rows, columns)
        is_denied = boosts == DENIED
        scores[row[is_denied], column[is_denied]] = -EXCLUDED
        for number in range(self._rules.deny_conditional.bit_length()):
            if self._rules.deny_conditional >> number & 1:
                self._add_conditional(scores, -EXCLUDED, number, rows, columns)

    def add_boosts(
        self, scores: Float32, rows: Int64, columns: slice | Int64, scratch: Float32
    ) -> None:
        """Add the boosts to the scores, in place.

        Args:
            scores: as for `apply`.
            rows: int64[n], the positions of the queries, in any order.
            columns: the positions of the m candidates.
            scratch: float32[n, m], overwritten.
        """
        boosts, left, right = self._rules.boosts, self._left.boosts, self._right.boosts
        for weight, equal in zip(boosts.matches, self._matches, strict=True):
            equal.add(scores, rows, columns, weight, scratch)
        boosts.add_prices(scores, left.log_price[rows], right.log_price[columns], scratch)
        if boosts.own != (0.0, 0.0):
            scores += right.own[columns].astype(np.float32)[None, :]
        for number, boost in enumerate(boosts.conditional):
            if boost:
                self._add_conditional(scores, boost, number, rows, columns)
        if boosts.by_hand:
            row, column, added = self._edited.in_matrix(rows, columns)
            is_boost = added != DENIED
            scores[row[is_boost], column[is_boost]] += added[is_boost].astype(np.float32)

    def _add_conditional(
        self, scores: Float32, boost: float, number: int, rows: Int64, columns: slice | Int64
    ) -> None:
        left, right = self._left.boosts.as_item[rows], self._right.boosts.as_neighbor[columns]
        add_to_matrix(scores, boost, number, left, right)

    def ranked_by(self, cosines: Float32, rows: Int64, columns: Int64) -> Float32:
        """What pairs are ranked by: float32[pairs].

        Args:
            cosines: float32[pairs].
            rows: int64[pairs], the queries.
            columns: int64[pairs], the candidates.
        """
        boosts, left, right = self._rules.boosts, self._left.boosts, self._right.boosts
        return boosts.add_to_pairs(cosines, left, right, (rows, columns), self._edited)
