"""Edits by hand as docs/rules.md defines them, for published_oracle.py."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Condition = Callable[[Row], bool]

# Why an edit is not followed; the run's reason begins with one of these.
NO_LIST, NO_VECTOR = "the item has no list", "similar_id is not in the catalogue, or has no vector"
NOT_ELIGIBLE, NOT_SAME = "similar_id may be in no list", "rules.same"
DIFFERS, PRICE, DENIED = "rules.differ or rules.collapse", "rules.price_ratio", "the pair is denied"
IS_PINNED, RANK_TAKEN = "another pin has similar_id", "another pin has the rank"


class Pin(NamedTuple):
    """A pin of an item; the least is followed first.

    Attributes:
        order: 0 if it names the item, 1 if it has a condition, 2 if it is of everybody's list.
        rank: the rank.
        similar_id: the neighbour.
        number: of the edit.
    """

    order: int
    rank: int
    similar_id: str
    number: int


@dataclass
class Edits:
    """The edits in force.

    Attributes:
        written: what people have written.
        day: the day of the run.
        k: neighbours of an item.
        ids: those of the catalogue.
        conditions: what the conditions mean.
    """

    written: Sequence[Row]
    day: str
    k: int
    ids: frozenset[str]
    conditions: Mapping[str, Condition]

    def __post_init__(self) -> None:
        self.rows: list[Row] = []
        for one in self.written:
            is_in_force = one.get("from", "") <= self.day <= (one.get("until") or "9999-12-31")
            if is_in_force and one not in self.rows:
                self.rows.append(one)
        # Of each edit the reasons why it is not followed, with how many items each has.
        self.refused = [Counter(self._problems(one)) for one in self.rows]

    def _problems(self, one: Row) -> list[str]:
        if one["action"] == "pin":
            too_far = int(one["value"]) > self.k
            return [f"value {one['value']}: a pin's is a rank, from 1 to"] if too_far else []
        return [
            f"{name} is not in the catalogue"
            for name in ("item_id", "similar_id")
            if one.get(name) and one[name] not in self.ids
        ]

    def holds(self, where: str, row: Row) -> bool:
        """Whether a condition holds for an item."""
        return not where or self.conditions[where](row)

    def _is_of(self, one: Row, side: str, row: Row) -> bool:
        if one.get(f"{side}_id"):
            return bool(one[f"{side}_id"] == row["item_id"])
        return self.holds(one.get(f"{side}_where", ""), row)

    def denied(self, item: Row, shown: Row) -> set[str]:
        """Whether an item is denied to all others, or to this one."""
        broken = set()
        for one in self.rows:
            if one["action"] == "deny" and self._is_of(one, "similar", shown):
                if _is_everybodys(one):
                    broken.add(NOT_ELIGIBLE)
                elif self._is_of(one, "item", item):
                    broken.add(DENIED)
        return broken

    def boost(self, item: Row, shown: Row) -> float:
        """What is added to the cosine of a pair."""
        by_ids = everybodys = others = 0.0
        for one in self.rows:
            is_boost = one["action"] in ("boost", "bury")
            if is_boost and self._is_of(one, "item", item) and self._is_of(one, "similar", shown):
                added = float(one["value"]) * (1 if one["action"] == "boost" else -1)
                if _is_everybodys(one):
                    everybodys += added
                elif one.get("item_id") and one.get("similar_id"):
                    by_ids += added
                else:
                    others += added
        return others + max(-1.0, min(1.0, by_ids)) + max(-1.0, min(1.0, everybodys))

    def pins(self, item: Row, reason_against: Callable[[str], str]) -> dict[int, str]:
        """The pins of an item that are followed; those that are not are counted in `refused`.

        Args:
            item: the item.
            reason_against: why an item with an id may not be pinned; empty if it may.

        Returns:
            the neighbours by their ranks.
        """
        wanted = [
            Pin(0 if one.get("item_id") else 1 if one.get("item_where") else 2,
                int(one["value"]), one["similar_id"], number)
            for number, one in enumerate(self.rows)
            if one["action"] == "pin" and int(one["value"]) <= self.k
            and one["similar_id"] != item["item_id"] and self._is_of(one, "item", item)
        ]  # fmt: skip
        pins: dict[int, str] = {}
        for pin in sorted(wanted):
            if pins.get(pin.rank) == pin.similar_id:
                continue
            reason = reason_against(pin.similar_id)
            reason = reason or (IS_PINNED if pin.similar_id in pins.values() else "")
            reason = reason or (RANK_TAKEN if pin.rank in pins else "")
            if reason:
                self.refused[pin.number][reason] += 1
            else:
                pins[pin.rank] = pin.similar_id
        return pins

    def refuse_items(self, asking: frozenset[str]) -> None:
        """Refuse the pins of items that are not among those that get lists."""
        for one, reasons in zip(self.rows, self.refused, strict=True):
            is_named = one["action"] == "pin" and one.get("item_id")
            if is_named and not reasons and one["item_id"] not in asking:
                reasons[NO_LIST] += 1


def _is_everybodys(one: Row) -> bool:
    return not one.get("item_id") and not one.get("item_where")
