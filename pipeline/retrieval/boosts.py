"""Boosts: what is added to the cosine of a pair before the best are chosen.

A candidate is ranked by its cosine and its boosts, in float64 from values of the two items alone,
rounded to float32 once. So where it ranks does not depend on what is computed together with it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.pair_edits import NO_EDITED_PAIRS, EditedPairs, has_bit
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, Float64

# How far a boost that is computed in float32 may be from the exact one, for weights of 1 in all.
_ERROR = 2.0**-21
# How far the difference of two prices' logarithms to base 2, of up to 1,024 each, may be.
_PRICE_ERROR = 2.0**-12
# The logarithm of no price is so far from 0.
_FAR = 1e9


@dataclass(frozen=True)
class BoostTraits:
    """What the boosts read of n items.

    Attributes:
        own: float64[n], the boost that an item has as a neighbour of any other.
        matches: int64[columns, n], hashes of values; 0 where there is none.
        log_price: float64[n], the logarithm of the price to base 2; NaN if it is unknown.
        as_item: int64[n], the edits by conditions of which it is the item.
        as_neighbor: int64[n], those of which it is the neighbour.
    """

    own: Float64
    matches: Int64
    log_price: Float64
    as_item: Int64
    as_neighbor: Int64

    def take(self, positions: Int64 | slice) -> "BoostTraits":
        """Those of the items at some positions."""
        return BoostTraits(
            self.own[positions],
            self.matches[:, positions],
            self.log_price[positions],
            self.as_item[positions],
            self.as_neighbor[positions],
        )


@dataclass(frozen=True)
class Boosts:
    """The boosts of pairs.

    Attributes:
        own: the least and the greatest boost that an item may have by itself.
        matches: for each column of `BoostTraits.matches`, what is added where both values are
            equal.
        price: what is added for equal prices, and the ratio of two prices that halves it; None if
            prices count for nothing.
        conditional: for each edit by conditions what it adds; 0 if it denies.
        by_hand: whether pairs of ids may have boosts, of 1 at most.
    """

    own: tuple[float, float] = (0.0, 0.0)
    matches: tuple[float, ...] = ()
    price: tuple[float, float] | None = None
    conditional: tuple[float, ...] = ()
    by_hand: bool = False

    @property
    def exist(self) -> bool:
        """Whether there are boosts."""
        return self != NO_BOOSTS

    @property
    def margin(self) -> float:
        """How far a score with a boost in float32 may be from the exact one, beside the cosine."""
        if not self.exist:
            return 0.0
        weights = (*self.own, *self.matches, *self.conditional, float(self.by_hand))
        error = _ERROR * (2 + sum(map(abs, weights)))
        if self.price is not None:
            weight, half = self.price
            # No slope of halving is steeper than where the prices are equal.
            error += abs(weight) * (_ERROR + _PRICE_ERROR * np.log(2) / np.log2(half))
        return float(error)

    def add_to_pairs(
        self,
        cosines: Float32,
        left: BoostTraits,
        right: BoostTraits,
        pairs: tuple[Int64, Int64],
        edited: EditedPairs = NO_EDITED_PAIRS,
    ) -> Float32:
        """What pairs are ranked by: float32[pairs].

        Args:
            cosines: float32[pairs].
            left: of the items whose neighbours are ranked.
            right: of the candidates.
            pairs: positions in `left` and in `right`.
            edited: the edited pairs of both.
        """
        rows, items = pairs
        boosts = right.own[items]
        for weight, own, other in zip(self.matches, left.matches, right.matches, strict=True):
            values = own[rows]
            boosts += weight * ((values == other[items]) & (values != 0))
        if self.price is not None:
            own_price, other_price = self._known(left.log_price[rows], right.log_price[items])
            boosts += self.price_boosts(other_price - own_price)
        if self.conditional:
            both = left.as_item[rows] & right.as_neighbor[items]
            for number, boost in enumerate(self.conditional):
                boosts += boost * has_bit(both, number)
        if self.by_hand:
            boosts += edited.boosts_of(rows, items)
        ranked_by: Float32 = (cosines.astype(np.float64) + boosts).astype(np.float32)
        return ranked_by

    def add_prices(self, product: Float32, left: Float64, right: Float64, scratch: Float32) -> None:
        """Add the boosts of prices to a matrix of cosines in place, in float32: see `margin`.

        Args:
            product: float32[n, m].
            left: float64[n], logarithms of the prices of the items whose neighbours are ranked.
            right: float64[m], those of the candidates.
            scratch: float32[n, m], overwritten.
        """
        if self.price is None:
            return
        own, other = self._known(left, right)
        np.subtract(other.astype(np.float32)[None, :], own.astype(np.float32)[:, None], out=scratch)
        product += self.price_boosts(scratch)

    @staticmethod
    def _known(left: Float64, right: Float64) -> tuple[Float64, Float64]:
        """Logarithms of prices, so that an unknown price is far from all others."""
        return np.where(np.isnan(left), -_FAR, left), np.where(np.isnan(right), _FAR, right)

    def price_boosts(self, distances: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The boosts for distances of two prices' logarithms, which are overwritten."""
        assert self.price is not None  # noqa: S101 - the callers have checked it
        weight, half = self.price
        np.abs(distances, out=distances)
        distances *= distances.dtype.type(-1 / np.log2(half))
        np.exp2(distances, out=distances)
        distances *= distances.dtype.type(weight)
        return distances


NO_BOOSTS = Boosts()
