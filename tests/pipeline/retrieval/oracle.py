"""Brute force over all pairs in float64: the neighbours by their definition."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class Rules:
    """Rules on pairs, with what they read of each item.

    Attributes:
        ratio: least and greatest price of a candidate, as a multiple of the item's price.
        price: of each item.
        low, high: bounds of the score.
        group: what each item is a variant of: a list has one variant of it, none of its own item's.
        caps: the values of each item, and how many items with one value a list may hold.
        denied: pairs of an item and one that may not be in its list.
        differ: values of each item, which its neighbours may not have.
        own_boosts: of each item, what its cosine with any other is raised by.
        match_boosts: the values of each item, and what equal ones raise a cosine by.
        price_boost: what equal prices raise a cosine by, and the ratio of two that halves it.
        pair_boosts: what the cosine of an item and one in its list is raised by.
        conditional: of which items, and neighbours, an edit is, and its boost; None if it denies.
    """

    ratio: tuple[float, float] | None = None
    price: list[float | None] = field(default_factory=list)
    low: float = -1.0
    high: float = 1.0
    group: list[str | None] = field(default_factory=list)
    caps: list[tuple[list[str | None], int]] = field(default_factory=list)
    denied: set[tuple[str, str]] = field(default_factory=set)
    differ: list[list[str | None]] = field(default_factory=list)
    own_boosts: list[float] = field(default_factory=list)
    match_boosts: list[tuple[list[str | None], float]] = field(default_factory=list)
    price_boost: tuple[float, float] | None = None
    pair_boosts: dict[tuple[str, str], float] = field(default_factory=dict)
    conditional: list[tuple[list[bool], list[bool], float | None]] = field(default_factory=list)

    def ranked_by(
        self, row: int, column: int, cosine: np.float32, pair: tuple[str, str]
    ) -> np.float32:
        """The cosine of the item of a row and that of a column, whose ids are a pair, boosted."""
        boost = self.own_boosts[column] if self.own_boosts else 0.0
        for values, weight in self.match_boosts:
            if values[row] is not None and values[row] == values[column]:
                boost += weight
        if self.price_boost:
            (weight, half), own, other = self.price_boost, self.price[row], self.price[column]
            if own and other:
                boost += weight * 0.5 ** abs(math.log(other / own, half))
        for as_item, as_neighbor, added in self.conditional:
            if as_item[row] and as_neighbor[column]:
                boost += added or 0.0
        boost += self.pair_boosts.get(pair, 0.0)
        return np.float32(float(cosine) + boost)

    def passes(self, row: int, column: int, score: float) -> bool:
        """Whether the item of a row may have that of a column as a neighbour; caps aside."""
        if self.group and self.group[row] is not None and self.group[row] == self.group[column]:
            return False
        for values in self.differ:
            if values[row] is not None and values[row] == values[column]:
                return False
        if self.ratio:
            own, other = self.price[row], self.price[column]
            if own and other and not self.ratio[0] <= other / own <= self.ratio[1]:
                return False
        for as_item, as_neighbor, added in self.conditional:
            if added is None and as_item[row] and as_neighbor[column]:
                return False
        return self.low <= score <= self.high

    def top_k(self, columns: list[int], k: int) -> list[int]:
        """The first k of the candidates, best first, that no cap excludes."""
        counted = [(self.group, 1)] if self.group else []
        counted += self.caps
        counts = [Counter[str]() for _ in counted]
        selected: list[int] = []
        for column in columns:
            own = [values[column] for values, _ in counted]
            full = any(
                value is not None and count[value] >= cap
                for value, count, (_, cap) in zip(own, counts, counted, strict=True)
            )
            if full or len(selected) == k:
                continue
            selected.append(column)
            for value, count in zip(own, counts, strict=True):
                if value is not None:
                    count[value] += 1
        return selected


def neighbors(
    ids: list[str],
    vectors: npt.NDArray[np.floating],
    k: int,
    allowed: npt.NDArray[np.bool_],
    rules: Rules | None = None,
) -> dict[str, list[tuple[str, float]]]:
    """The k best allowed others of each item by cosine and boosts, ties by id; and their cosines.

    Args:
        ids: n ids.
        vectors: float[n, dim].
        k: neighbours an item.
        allowed: bool[n, n], whether a row's item may have a column's as a neighbour.
        rules: the rules on pairs.
    """
    ranked = ranked_neighbors(ids, vectors, k, allowed, rules or Rules())
    return {item: [(other, score) for other, score, _ in best] for item, best in ranked.items()}


def ranked_neighbors(
    ids: list[str],
    vectors: npt.NDArray[np.floating],
    k: int,
    allowed: npt.NDArray[np.bool_],
    rules: Rules,
) -> dict[str, list[tuple[str, float, float]]]:
    """Like `neighbors`; the last value is what they are ranked by."""
    wide = vectors.astype(np.float64)
    squares = np.sum(wide * wide, axis=1)
    neighbors_of = {}
    for row, item in enumerate(ids):
        scored = []
        norms = np.sqrt(squares[row] * squares)
        norms[norms == 0] = 1
        cosines = np.clip(np.sum(wide[row] * wide, axis=1) / norms, -1, 1).astype(np.float32)
        for column in np.flatnonzero(allowed[row]).tolist():
            if column == row:
                continue
            other, cosine = ids[column], cosines[column]
            if (item, other) not in rules.denied and rules.passes(row, column, float(cosine)):
                key = rules.ranked_by(row, column, cosine, (item, other))
                scored.append((-key, other, column, cosine))
        best = {
            column: (other, float(cosine), float(-key))
            for key, other, column, cosine in sorted(scored)
        }
        neighbors_of[item] = [best[column] for column in rules.top_k(list(best), k)]
    return {item: best for item, best in neighbors_of.items() if best}


def vectors(n: int, dim: int, seed: int, *, duplicates: int = 0) -> npt.NDArray[np.float32]:
    """Seeded vectors that float16 holds; `duplicates` of them are equal."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, dim))
    drawn = centres[rng.integers(8, size=n)] + 0.5 * rng.standard_normal((n, dim))
    drawn[rng.integers(n, size=duplicates)] = drawn[0]
    return drawn.astype(np.float16).astype(np.float32)


def diverse_lists(
    ids: list[str],
    vectors: npt.NDArray[np.floating],
    candidates: dict[str, list[tuple[str, float, float]]],
    share: float,
    k: int,
) -> dict[str, list[tuple[str, float]]]:
    """The lists that maximal marginal relevance chooses: ids, and the values they are chosen by.

    Args:
        ids: n ids.
        vectors: float[n, dim].
        candidates: of each item: id, cosine, and what it is ranked by.
        share: the weight of what a list has already.
        k: items of a list.
    """
    wide = {item: vector.astype(np.float64) for item, vector in zip(ids, vectors, strict=True)}

    def cosine(a: str, b: str) -> float:
        norms = float(np.sqrt(np.sum(wide[a] ** 2) * np.sum(wide[b] ** 2)))
        return (
            float(np.float32(np.clip(np.sum(wide[a] * wide[b]) / norms, -1, 1))) if norms else 0.0
        )

    lists: dict[str, list[tuple[str, float]]] = {}
    for item, best in candidates.items():
        left = {other: key for other, _, key in best}
        chosen: list[tuple[str, float]] = []
        while left and len(chosen) < k:
            values = {
                other: (1 - share) * key
                - share * max([0.0, *(cosine(other, one) for one, _ in chosen)])
                for other, key in left.items()
            }
            first = min(left, key=lambda other: (-values[other], other))
            chosen.append((first, values[first]))
            del left[first]
        lists[item] = chosen
    return lists
