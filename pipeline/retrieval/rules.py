"""Rules on pairs: which candidates a query's list may hold, and what they are ranked by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.boosts import NO_BOOSTS, Boosts, BoostTraits
from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.vectors import Float32, Float64
from pipeline.storage.list_schemas import TRAITS

Bools = npt.NDArray[np.bool_]
# What is taken from the score of a pair that is excluded.
EXCLUDED = 1e30
# Pairs are looked up one by one where they are less than one of so many.
_FEW = 20


@dataclass(frozen=True)
class Rules:
    """The rules that a pair of a query and a candidate is checked against.

    `same` and `eligible` are not here: they decide which items are loaded and compared at all.

    Attributes:
        price_ratio: least and greatest price of a candidate, as a multiple of the query's price. A
            price that is unknown, zero or negative excludes nothing.
        min_score: the least cosine.
        max_score: the greatest cosine.
        differ: in so many columns an item and its neighbours have different values, or none.
        deny: whether there are denied pairs.
        caps: how many items with one value a list may hold, for each value in `capped`.
        boosts: what is added to the cosine.
    """

    price_ratio: tuple[float, float] | None = None
    min_score: float = -1.0
    max_score: float = 1.0
    differ: int = 0
    deny: bool = False
    caps: tuple[int, ...] = ()
    boosts: Boosts = NO_BOOSTS

    @property
    def needs_traits(self) -> bool:
        """Whether anything but the cosine decides on a pair."""
        return self._compares_traits or self.deny or self.boosts.exist

    @property
    def _compares_traits(self) -> bool:
        return self.price_ratio is not None or bool(self.differ)

    @property
    def needs_kinds(self) -> bool:
        """Whether items with equal vectors may have to be told apart."""
        return self.needs_traits or bool(self.caps)

    @property
    def excludes_pairs(self) -> bool:
        """Whether a candidate that is eligible and has the same `same` may still be excluded."""
        return self._compares_traits or self.deny or bool(self.caps) or self.bounds_score

    @property
    def bounds_score(self) -> bool:
        """Whether there is a least or a greatest cosine."""
        return self.min_score > -1 or self.max_score < 1

    def score_mask(self, scores: Float32) -> Bools:
        """Which cosines are within the bounds: bool[n]."""
        wide = scores.astype(np.float64)
        return (wide >= self.min_score) & (wide <= self.max_score)


NO_RULES = Rules()


def with_traits(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Add the columns of TRAITS that are missing, as nulls."""
    for field in TRAITS:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def eligible_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of items that may be neighbours."""
    return _rows_where(rows, "eligible")


def query_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of items that are queries."""
    return _rows_where(rows, "asks")


def _rows_where(rows: pa.RecordBatch, name: str) -> pa.RecordBatch:
    if name not in rows.schema.names:
        return rows
    return rows.filter(pc.fill_null(rows[name], True))


@dataclass(frozen=True)
class Traits:
    """The columns of TRAITS that the rules on pairs read, of n items.

    Attributes:
        price: float64[n], NaN if unknown.
        differ: int64[columns, n], 0 for none.
        kind: int64[n], equal for items that no rule tells apart.
        denied: list<string>[n], the ids that may not be neighbours of each item.
        boosts: what the boosts read.
    """

    price: Float64
    differ: Int64
    kind: Int64
    denied: pa.ListArray
    boosts: BoostTraits

    @classmethod
    def from_rows(cls, rows: pa.RecordBatch, rules: Rules) -> "Traits":
        """Read what some rules read, from rows that have columns of TRAITS."""
        rows = with_traits(rows)
        price = np.asarray(pc.fill_null(rows["price"], np.nan), dtype=np.float64)
        price = np.where((price > 0) & np.isfinite(price), price, np.nan)
        log_price = np.log2(price) if rules.boosts.price else price
        own = np.asarray(pc.fill_null(rows["boost"], 0.0), dtype=np.float64)
        matches = hash_columns(rows["matches"], len(rules.boosts.matches))
        return cls(
            price,
            hash_columns(rows["differ"], rules.differ),
            np.asarray(pc.fill_null(rows["kind"], 0), dtype=np.int64),
            rows["denied"],
            BoostTraits(own, matches, log_price),
        )

    def take(self, positions: Int64) -> "Traits":
        """The traits of the items at some positions."""
        denied, boosts = self.denied.take(pa.array(positions)), self.boosts.take(positions)
        differ, kind = self.differ[:, positions], self.kind[positions]
        return Traits(self.price[positions], differ, kind, denied, boosts)

    def differs_from_previous(self) -> Bools:
        """Whether the rules may treat an item differently from the one before it: bool[n].

        An item that denies others always differs from its two neighbours in the order.
        """
        differs = np.ones(len(self.price), dtype=bool)
        price, previous = self.price[1:], self.price[:-1]
        is_equal = (price == previous) | (np.isnan(price) & np.isnan(previous))
        differs[1:] = ~is_equal
        for values in (*self.differ, *self.boosts.matches):
            differs[1:] |= values[1:] != values[:-1]
        denies = np.asarray(pc.fill_null(pc.list_value_length(self.denied), 0)) > 0
        differs |= denies
        differs[1:] |= denies[:-1]
        return differs

    def denied_pairs(self, ids: pa.Array) -> tuple[Int64, Int64]:
        """The denied pairs: positions of the items here, ascending, and positions in `ids`."""
        sizes = np.asarray(pc.fill_null(pc.list_value_length(self.denied), 0)).astype(np.int64)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        indices = pc.fill_null(pc.index_in(self.denied.flatten().cast(ids.type), ids), -1)
        positions = np.asarray(indices).astype(np.int64)
        return rows[positions >= 0], positions[positions >= 0]


def hash_columns(column: pa.ListArray, width: int) -> Int64:
    """The hashes of a column of TRAITS, one row for each of the columns that they are of.

    Args:
        column: list<int64>[n], each of `width` values, or null if no rule reads them.
        width: how many columns they are of.

    Returns:
        int64[width, n].
    """
    if not width:
        return np.empty((0, len(column)), dtype=np.int64)
    values = np.asarray(column.flatten()).astype(np.int64)
    return np.ascontiguousarray(values.reshape(len(column), width).T)


def pair_mask(
    rules: Rules,
    left: Traits,
    right: Traits,
    denied: tuple[Int64, Int64],
    pairs: tuple[Int64, Int64, Float32],
) -> Bools:
    """Which pairs pass all rules but the caps: bool[pairs].

    Args:
        rules: the rules.
        left: traits of the queries.
        right: traits of the candidates.
        denied: denied pairs: positions in `left` and in `right`.
        pairs: the pairs to check: positions in `left` and in `right`, and the cosines.
    """
    left_rows, right_rows, scores = pairs
    passes = rules.score_mask(scores)
    if rules.price_ratio is not None:
        ratios = right.price[right_rows] / left.price[left_rows]
        passes &= ~_is_outside(ratios, rules.price_ratio)
    for own, other in zip(left.differ, right.differ, strict=True):
        values = own[left_rows]
        passes &= (values != other[right_rows]) | (values == 0)
    if len(denied[0]):
        width = np.int64(len(right.price))
        passes &= ~np.isin(left_rows * width + right_rows, denied[0] * width + denied[1])
    return passes


def _is_outside(ratios: Float64, bounds: tuple[float, float]) -> Bools:
    """Which ratios of two prices are out of bounds; an unknown price makes NaN, which is not."""
    mask: Bools = (ratios < bounds[0]) | (ratios > bounds[1])
    return mask


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

    def __init__(
        self, rules: Rules, left: Traits, right: Traits, denied: tuple[Int64, Int64]
    ) -> None:
        """Take the traits of queries and candidates, and the denied pairs of positions in both."""
        self._rules, self._left, self._right = rules, left, right
        self._prices = None
        if rules.price_ratio is not None:
            self._prices = _PriceBounds.of(left.price, right.price, rules.price_ratio)
        pairs = zip(left.differ, right.differ, strict=True)
        self._differ = [EqualPairs(own, other) for own, other in pairs]
        pairs = zip(left.boosts.matches, right.boosts.matches, strict=True)
        self._matches = [EqualPairs(own, other) for own, other in pairs]
        by_candidate = np.argsort(denied[1], kind="stable")
        self._denied = denied[0][by_candidate], denied[1][by_candidate]

    def apply(self, scores: Float32, rows: Int64, columns: slice, scratch: Float32) -> None:
        """Lower the scores of excluded pairs by EXCLUDED, in place.

        Args:
            scores: float32[n, m].
            rows: int64[n], the positions of the queries, ascending.
            columns: the positions of the m candidates.
            scratch: float32[n, m], overwritten.
        """
        if self._prices is not None:
            self._prices.apply(scores, rows, columns, scratch)
        for differ in self._differ:
            differ.add(scores, rows, columns, -EXCLUDED, scratch)
        left, right = self._denied
        here = slice(*np.searchsorted(right, [columns.start, columns.stop]))
        left, right = left[here], right[here]
        if len(left):
            row = np.minimum(np.searchsorted(rows, left), len(rows) - 1)
            is_here = rows[row] == left
            scores[row[is_here], right[is_here] - columns.start] = -EXCLUDED

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

    def ranked_by(self, cosines: Float32, rows: Int64, columns: Int64) -> Float32:
        """What pairs are ranked by: float32[pairs].

        Args:
            cosines: float32[pairs].
            rows: int64[pairs], the queries.
            columns: int64[pairs], the candidates.
        """
        boosts, left, right = self._rules.boosts, self._left.boosts, self._right.boosts
        return boosts.add_to_pairs(cosines, left, right, (rows, columns))
