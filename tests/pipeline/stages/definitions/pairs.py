"""What the rules, boosts and edits say of a pair of items, for table.py."""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tests.pipeline.stages.definitions.catalogue import Catalogue
from tests.pipeline.stages.definitions.edits import (
    DENIED,
    DIFFERS,
    NOT_ELIGIBLE,
    NOT_SAME,
    PRICE,
    Edits,
)


class Pairs:
    """Pairs of an item and one that may be in its list, by their places in the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        rules: Mapping[str, Any],
        rank: Mapping[str, Any],
        edits: Edits,
    ) -> None:
        self.catalogue, self.rows = catalogue, catalogue.rows
        self.rules, self.rank, self.edits = rules, rank, edits
        self.cuts = {name: self._cuts(name) for name in rank.get("value", {})}
        self.own = [self._own_boost(place) for place in range(len(self.rows))]

    def excluded_by(self, place: int, other: int) -> set[str]:
        """The hard rules, and denials, that keep an item out of another's list."""
        item, shown, rules = self.rows[place], self.rows[other], self.rules
        broken = self.edits.denied(item, shown)
        if not self.edits.holds(rules.get("eligible", ""), shown):
            broken.add(NOT_ELIGIBLE)
        for item_id, similar_id in rules.get("deny", []):
            if not similar_id and item_id == shown["item_id"]:
                broken.add(NOT_ELIGIBLE)
            if similar_id and (item_id, similar_id) == (item["item_id"], shown["item_id"]):
                broken.add(DENIED)
        if any(item[name] != shown[name] for name in rules.get("same", [])):
            broken.add(NOT_SAME)
        differing = [name for name in (*rules.get("differ", []), rules.get("collapse")) if name]
        if any(item[name] is not None and item[name] == shown[name] for name in differing):
            broken.add(DIFFERS)
        if rules.get("price_ratio") and _is_price(item["price"]) and _is_price(shown["price"]):
            low, high = rules["price_ratio"]
            if not low <= shown["price"] / item["price"] <= high:
                broken.add(PRICE)
        return broken

    def boost(self, place: int, other: int) -> float:
        """What is added to the cosine of a pair."""
        item, shown, boost = self.rows[place], self.rows[other], self.own[other]
        for name, weight in self.rank.get("same", {}).items():
            if item[name] is not None and item[name] == shown[name]:
                boost += weight
        price = self.rank.get("price")
        if price and _is_price(item["price"]) and _is_price(shown["price"]):
            distance = abs(math.log(shown["price"] / item["price"], price.get("half", 2.0)))
            boost += price["weight"] * 0.5**distance
        return boost + self.edits.boost(item, shown)

    def _own_boost(self, place: int) -> float:
        """What an item's cosine with any other is raised by."""
        row, boost = self.rows[place], 0.0
        for name, weight in self.rank.get("value", {}).items():
            if row[name] is not None:
                boost += weight * sum(cut < row[name] for cut in self.cuts[name]) / 100
        fresh = self.rank.get("fresh")
        if fresh and row[fresh["column"]] is not None:
            age = (date.fromisoformat(fresh["date"]) - row[fresh["column"]]).days
            boost += fresh["weight"] * 0.5 ** (max(age, 0) / fresh.get("half_days", 30))
        exposure: float = self.rank.get("exposure", 0.0)
        if exposure and self.catalogue.has_vector[place]:
            boost -= exposure * self.catalogue.crowding(place)
        return boost

    def _cuts(self, name: str) -> list[float]:
        """A hundred quantiles of a column."""
        values = sorted(row[name] for row in self.rows if row[name] is not None)
        return [values[n * len(values) // 100] for n in range(100)]

    def fits(self, place: int, listed: Sequence[int]) -> bool:
        """Whether the caps let an item come behind others."""
        caps = dict(self.rules.get("max_per", {}))
        if self.rules.get("collapse"):
            caps[self.rules["collapse"]] = min(1, caps.get(self.rules["collapse"], 1))
        return all(
            self.rows[place][name] is None
            or sum(self.rows[one][name] == self.rows[place][name] for one in listed) < cap
            for name, cap in caps.items()
        )


def _is_price(value: float | None) -> bool:
    return value is not None and value > 0
