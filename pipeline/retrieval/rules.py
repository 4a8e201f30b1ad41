"""Rules on pairs: which candidates a query's list may hold, and what they are ranked by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.boosts import NO_BOOSTS, Boosts, BoostTraits
from pipeline.retrieval.pair_edits import DENIED, EditedPairs
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
        min_score: the least cosine.
        max_score: the greatest cosine.
        differ: in so many columns an item and its neighbours have different values, or none.
        deny: whether there may be denied pairs of ids.
        deny_conditional: which edits by conditions deny: a bit for each.
        caps: how many items with one value a list may hold, for each value in `capped`.
        boosts: what is added to the cosine.
    """

    price_ratio: tuple[float, float] | None = None
    min_score: float = -1.0
    max_score: float = 1.0
    differ: int = 0
    deny: bool = False
    deny_conditional: int = 0
    caps: tuple[int, ...] = ()
    boosts: Boosts = NO_BOOSTS

    @property
    def needs_traits(self) -> bool:
        """Whether anything but the cosine decides on a pair."""
        return self._compares_traits or self.denies or self.boosts.exist

    @property
    def denies(self) -> bool:
        """Whether pairs may be denied."""
        return self.deny or bool(self.deny_conditional)

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
        return self._compares_traits or self.denies or bool(self.caps) or self.bounds_score

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
        edits: list<struct<similar_id, boost>>[n], the edits of each item's neighbours by id.
        boosts: what the boosts read.
    """

    price: Float64
    differ: Int64
    kind: Int64
    edits: pa.ListArray
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
            rows["edits"],
            BoostTraits(
                own,
                matches,
                log_price,
                _bits(rows, "edited_as_item"),
                _bits(rows, "edited_as_neighbor"),
            ),
        )

    def take(self, positions: Int64) -> "Traits":
        """The traits of the items at some positions."""
        edits, boosts = self.edits.take(pa.array(positions)), self.boosts.take(positions)
        differ, kind = self.differ[:, positions], self.kind[positions]
        return Traits(self.price[positions], differ, kind, edits, boosts)

    def differs_from_previous(self) -> Bools:
        """Whether the rules may treat an item differently from the one before it: bool[n].

        An item with edits by id always differs from its two neighbours in the order.
        """
        differs = np.ones(len(self.price), dtype=bool)
        price, previous = self.price[1:], self.price[:-1]
        is_equal = (price == previous) | (np.isnan(price) & np.isnan(previous))
        differs[1:] = ~is_equal
        for values in (*self.differ, *self.boosts.matches, self.boosts.as_item):
            differs[1:] |= values[1:] != values[:-1]
        is_edited = np.asarray(pc.fill_null(pc.list_value_length(self.edits), 0)) > 0
        differs |= is_edited
        differs[1:] |= is_edited[:-1]
        return differs

    def edited_pairs(self, ids: pa.Array) -> EditedPairs:
        """The edited pairs of the items here and of those that have some ids: string[n]."""
        return EditedPairs.find(self.edits, ids)


def _bits(rows: pa.RecordBatch, name: str) -> Int64:
    return np.asarray(pc.fill_null(rows[name], 0)).astype(np.int64)


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
    edited: EditedPairs,
    pairs: tuple[Int64, Int64, Float32],
) -> Bools:
    """Which pairs pass all rules but the caps: bool[pairs].

    Args:
        rules: the rules.
        left: traits of the queries.
        right: traits of the candidates.
        edited: the edited pairs of both.
        pairs: the pairs to check: positions in `left` and in `right`, and the cosines.
    """
    left_rows, right_rows, scores = pairs
    passes = rules.score_mask(scores)
    if rules.price_ratio is not None:
        ratios = right.price[right_rows] / left.price[left_rows]
        passes &= ~_is_outside(ratios, rules.price_ratio)
    differing = slice(rules.differ)
    for own, other in zip(left.differ[differing], right.differ[differing], strict=True):
        values = own[left_rows]
        passes &= (values != other[right_rows]) | (values == 0)
    if rules.deny:
        passes &= edited.boosts_of(left_rows, right_rows) != DENIED
    if rules.deny_conditional:
        both = left.boosts.as_item[left_rows] & right.boosts.as_neighbor[right_rows]
        passes &= (both & rules.deny_conditional) == 0
    return passes


def _is_outside(ratios: Float64, bounds: tuple[float, float]) -> Bools:
    """Which ratios of two prices are out of bounds; an unknown price makes NaN, which is not."""
    mask: Bools = (ratios < bounds[0]) | (ratios > bounds[1])
    return mask
