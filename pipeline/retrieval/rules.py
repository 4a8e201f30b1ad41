"""Rules on pairs, as masks: which candidates a query's list may hold, before its top k are cut."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, Float64
from pipeline.storage.list_schemas import TRAITS

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """The rules that a pair of a query and a candidate is checked against.

    `same` and `eligible` are not here: they decide which items are loaded and compared at all.

    Attributes:
        price_ratio: least and greatest price of a candidate, as a multiple of the query's price. A
            price that is unknown, zero or negative excludes nothing.
        min_score: the least score.
        max_score: the greatest score.
        collapse: whether a query's own variants are excluded.
        deny: whether there are denied pairs.
        caps: how many items with one value a list may hold, for each value in `capped`.
    """

    price_ratio: tuple[float, float] | None = None
    min_score: float = -1.0
    max_score: float = 1.0
    collapse: bool = False
    deny: bool = False
    caps: tuple[int, ...] = ()

    @property
    def needs_traits(self) -> bool:
        """Whether anything but the score decides on a pair."""
        return self.price_ratio is not None or self.collapse or self.deny

    @property
    def needs_kinds(self) -> bool:
        """Whether items with equal vectors may have to be told apart."""
        return self.needs_traits or bool(self.caps)

    @property
    def excludes_pairs(self) -> bool:
        """Whether a candidate that is eligible and has the same `same` may still be excluded."""
        bounds_score = self.min_score > -1 or self.max_score < 1
        return self.needs_kinds or bounds_score

    def score_mask(self, scores: Float32) -> Bools:
        """Which scores are within the bounds: bool[n]."""
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
        variant: int64[n], 0 for none.
        kind: int64[n], equal for items that no rule tells apart.
        denied: list<string>[n], the ids that may not be neighbours of each item.
    """

    price: Float64
    variant: Int64
    kind: Int64
    denied: pa.ListArray

    @classmethod
    def from_rows(cls, rows: pa.RecordBatch) -> "Traits":
        """Read them from rows that have columns of TRAITS."""
        rows = with_traits(rows)
        price = np.asarray(pc.fill_null(rows["price"], np.nan), dtype=np.float64)
        return cls(
            np.where(price > 0, price, np.nan),
            np.asarray(pc.fill_null(rows["variant"], 0), dtype=np.int64),
            np.asarray(pc.fill_null(rows["kind"], 0), dtype=np.int64),
            rows["denied"],
        )

    def take(self, positions: Int64) -> "Traits":
        """The traits of the items at some positions."""
        denied = self.denied.take(pa.array(positions))
        return Traits(self.price[positions], self.variant[positions], self.kind[positions], denied)

    def differs_from_previous(self) -> Bools:
        """Whether the rules may treat an item differently from the one before it: bool[n].

        An item that denies others always differs from its two neighbours in the order.
        """
        differs = np.ones(len(self.price), dtype=bool)
        price, previous = self.price[1:], self.price[:-1]
        is_equal = (price == previous) | (np.isnan(price) & np.isnan(previous))
        differs[1:] = ~is_equal | (self.variant[1:] != self.variant[:-1])
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
        pairs: the pairs to check: positions in `left` and in `right`, and the scores.
    """
    left_rows, right_rows, scores = pairs
    passes = rules.score_mask(scores)
    if rules.collapse or rules.price_ratio is not None:
        prices = left.price[left_rows], right.price[right_rows]
        variants = left.variant[left_rows], right.variant[right_rows]
        passes &= ~_excluded_mask(rules, prices, variants)
    if len(denied[0]):
        width = np.int64(len(right.price))
        passes &= ~np.isin(left_rows * width + right_rows, denied[0] * width + denied[1])
    return passes


def _excluded_mask(
    rules: Rules, prices: tuple[Float64, Float64], variants: tuple[Int64, Int64]
) -> Bools:
    """Which pairs are excluded by price or variant.

    Args:
        rules: the rules.
        prices: of queries and candidates, in shapes that broadcast to the result's.
        variants: likewise.
    """
    own, other = variants
    excluded = (own == other) & (own != 0)
    if not rules.collapse:
        excluded[:] = False
    if rules.price_ratio is not None:
        low, high = rules.price_ratio
        ratio = prices[1] / prices[0]
        # An unknown price makes the ratio NaN, which is neither less nor greater.
        excluded |= (ratio < low) | (ratio > high)
    mask: Bools = excluded
    return mask


class ScoreMask:
    """The rules as a mask on a matrix of scores of queries and candidates."""

    def __init__(
        self, rules: Rules, left: Traits, right: Traits, denied: tuple[Int64, Int64]
    ) -> None:
        """Take the traits of queries and candidates, and the denied pairs of positions in both."""
        self._rules, self._left, self._right = rules, left, right
        self._denied = denied

    def apply(self, scores: Float32, rows: Int64, columns: slice) -> None:
        """Set the scores of excluded pairs to minus infinity, in place.

        Args:
            scores: float32[n, m].
            rows: int64[n], the positions of the queries, ascending.
            columns: the positions of the m candidates.
        """
        rules = self._rules
        if rules.collapse or rules.price_ratio is not None:
            prices = self._left.price[rows][:, None], self._right.price[columns]
            variants = self._left.variant[rows][:, None], self._right.variant[columns]
            scores[_excluded_mask(rules, prices, variants)] = -np.inf
        left, right = self._denied
        if len(left):
            row = np.minimum(np.searchsorted(rows, left), len(rows) - 1)
            is_here = (rows[row] == left) & (right >= columns.start) & (right < columns.stop)
            scores[row[is_here], right[is_here] - columns.start] = -np.inf
