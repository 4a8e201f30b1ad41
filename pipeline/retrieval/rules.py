"""Rules on pairs: which candidates an item's list may hold, before its best are chosen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, Float64
from pipeline.storage.clustered_tables import TRAITS


@dataclass(frozen=True)
class Rules:
    """What holds for every pair of an item and a candidate, beside `same` and `eligible`.

    Attributes:
        price_ratio: least and greatest price of a candidate, in prices of the item; a price that is
            not known, or not above zero, is not held against anyone.
        min_score: least score.
        max_score: greatest score.
        collapse: whether an item and its own variants are kept apart.
        deny: whether there are denied pairs.
        caps: how many of one value a list may hold, for each value in `capped`.
    """

    price_ratio: tuple[float, float] | None = None
    min_score: float = -1.0
    max_score: float = 1.0
    collapse: bool = False
    deny: bool = False
    caps: tuple[int, ...] = ()

    @property
    def of_traits(self) -> bool:
        """Whether anything but the score decides on a pair."""
        return self.price_ratio is not None or self.collapse or self.deny

    @property
    def of_kinds(self) -> bool:
        """Whether items with one vector may have to be told apart."""
        return self.of_traits or bool(self.caps)

    @property
    def any(self) -> bool:
        """Whether a candidate that is eligible and the same may be left out."""
        scored = self.min_score > -1 or self.max_score < 1
        return self.of_kinds or scored

    def scores(self, scores: Float32) -> npt.NDArray[np.bool_]:
        """Which scores are within the bounds: bool[n]."""
        wide = scores.astype(np.float64)
        return (wide >= self.min_score) & (wide <= self.max_score)


NO_RULES = Rules()


def with_traits(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with every column of TRAITS: null where it is not there."""
    for field in TRAITS:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def eligible_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that are candidates."""
    return _where(rows, "eligible")


def query_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that get a list."""
    return _where(rows, "asks")


def _where(rows: pa.RecordBatch, name: str) -> pa.RecordBatch:
    if name not in rows.schema.names:
        return rows
    return rows.filter(pc.fill_null(rows[name], True))


@dataclass(frozen=True)
class Traits:
    """What the rules on pairs read of some items.

    Attributes:
        price: float64[n], NaN where it is not known.
        variant: int64[n], 0 for none.
        kind: int64[n], one for items that every rule takes alike.
        denied: list<string>[n], what may not stand in an item's list.
    """

    price: Float64
    variant: Int64
    kind: Int64
    denied: pa.ListArray

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> "Traits":
        """Of rows with columns of TRAITS."""
        rows = with_traits(rows)
        price = np.asarray(pc.fill_null(rows["price"], np.nan), dtype=np.float64)
        return cls(
            np.where(price > 0, price, np.nan),
            np.asarray(pc.fill_null(rows["variant"], 0), dtype=np.int64),
            np.asarray(pc.fill_null(rows["kind"], 0), dtype=np.int64),
            rows["denied"],
        )

    def take(self, places: Int64) -> "Traits":
        """Those at some places."""
        denied = self.denied.take(pa.array(places))
        return Traits(self.price[places], self.variant[places], self.kind[places], denied)

    def differ(self) -> npt.NDArray[np.bool_]:
        """Whether each item is told from the one before it, or denies any: bool[n]."""
        new = np.ones(len(self.price), dtype=bool)
        prices, before = self.price[1:], self.price[:-1]
        equal = (prices == before) | (np.isnan(prices) & np.isnan(before))
        new[1:] = ~equal | (self.variant[1:] != self.variant[:-1])
        denies = np.asarray(pc.fill_null(pc.list_value_length(self.denied), 0)) > 0
        new |= denies
        new[1:] |= denies[:-1]
        return new

    def denied_pairs(self, ids: pa.Array) -> tuple[Int64, Int64]:
        """Pairs of an item here and a position in `ids` that it denies, by item."""
        sizes = np.asarray(pc.fill_null(pc.list_value_length(self.denied), 0)).astype(np.int64)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        places = pc.fill_null(pc.index_in(self.denied.flatten().cast(ids.type), ids), -1)
        place = np.asarray(places).astype(np.int64)
        return owner[place >= 0], place[place >= 0]


def _blocked_mask(
    rules: Rules, prices: tuple[Float64, Float64], variants: tuple[Int64, Int64]
) -> npt.NDArray[np.bool_]:
    """Which pairs price and variant keep apart, in the shape that items and candidates make."""
    mine, theirs = variants
    out = (mine == theirs) & (mine != 0)
    if not rules.collapse:
        out[:] = False
    if rules.price_ratio is not None:
        low, high = rules.price_ratio
        ratio = prices[1] / prices[0]
        # What is not known compares as neither.
        out |= (ratio < low) | (ratio > high)
    barred: npt.NDArray[np.bool_] = out
    return barred


class BlockedPairs:
    """The pairs of some items and candidates that the rules keep apart."""

    def __init__(
        self, rules: Rules, left: Traits, right: Traits, denied: tuple[Int64, Int64]
    ) -> None:
        """Take the items, the candidates, and pairs of positions in both that are denied."""
        self._rules, self._left, self._right = rules, left, right
        self._denied = denied

    def apply(self, scores: Float32, rows: Int64, place: slice) -> None:
        """Set the scores of such pairs to minus infinity.

        Args:
            scores: float32[n, m].
            rows: int64[n], which items, ascending.
            place: which candidates.
        """
        rules = self._rules
        if rules.collapse or rules.price_ratio is not None:
            prices = self._left.price[rows][:, None], self._right.price[place]
            variants = self._left.variant[rows][:, None], self._right.variant[place]
            scores[_blocked_mask(rules, prices, variants)] = -np.inf
        mine, theirs = self._denied
        if len(mine):
            at = np.minimum(np.searchsorted(rows, mine), len(rows) - 1)
            here = (rows[at] == mine) & (theirs >= place.start) & (theirs < place.stop)
            scores[at[here], theirs[here] - place.start] = -np.inf


def pair_mask(
    rules: Rules,
    left: Traits,
    right: Traits,
    denied: tuple[Int64, Int64],
    pairs: tuple[Int64, Int64, Float32],
) -> npt.NDArray[np.bool_]:
    """Which pairs pass all rules: bool[n].

    Args:
        rules: the rules.
        left: items.
        right: candidates.
        denied: pairs of positions in both.
        pairs: positions in both, and the score.
    """
    rows, others, scores = pairs
    passes = rules.scores(scores)
    if rules.collapse or rules.price_ratio is not None:
        prices = left.price[rows], right.price[others]
        passes &= ~_blocked_mask(rules, prices, (left.variant[rows], right.variant[others]))
    if len(denied[0]):
        width = np.int64(len(right.price))
        passes &= ~np.isin(rows * width + others, denied[0] * width + denied[1])
    return passes
