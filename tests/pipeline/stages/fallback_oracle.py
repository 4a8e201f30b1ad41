"""The fillings of short lists by brute force, in plain Python."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
# Id, score and reason; the score of what was filled in is None, the reason of a neighbour is None.
Entry = tuple[str, float | None, str | None]


class Rules(NamedTuple):
    """The hard rules; a value that is None is missing.

    Attributes:
        same: columns in which an item and what fills its list are equal.
        differ: columns in which they are not.
        caps: column and how many items of a value a list may hold.
        price_ratio: the bounds of the two prices' ratio.
        denied: pairs.
        may_be_shown: whether an item is eligible.
    """

    same: Sequence[str] = ()
    differ: Sequence[str] = ()
    caps: Sequence[tuple[str, int]] = ()
    price_ratio: tuple[float, float] | None = None
    denied: frozenset[tuple[str, str]] = frozenset()
    may_be_shown: Callable[[Row], bool] = lambda _: True


def fill(
    rows: Sequence[Row],
    found: Mapping[str, Sequence[tuple[str, float]]],
    to_fill: Sequence[str],
    order: Sequence[tuple[str, str, str]],
    rules: Rules,
    k: int,
) -> dict[str, list[Entry]]:
    """The lists of all items that have any.

    Args:
        rows: the catalogue.
        found: the neighbours of each item that has any.
        to_fill: the items whose lists are filled.
        order: text, column or "", and number of each entry.
        rules: the rules.
        k: how many items a list may hold.
    """
    by_id = {row["item_id"]: row for row in rows}
    lists: dict[str, list[Entry]] = {
        item: [(other, score, None) for other, score in best] for item, best in found.items()
    }
    for item in to_fill:
        row, entries = by_id[item], lists.setdefault(item, [])
        for text, same, by in order:
            if same and row[same] is None:
                continue
            group = [
                other
                for other in rows
                if rules.may_be_shown(other)
                and other[by] is not None
                and (not same or other[same] == row[same])
                and all(other[name] == row[name] for name in rules.same)
            ]
            group.sort(key=lambda other: (-other[by], other["item_id"]))
            for other in group[: max(k, min(10 * k, 1000))]:
                ids = [entry[0] for entry in entries]
                if len(ids) < k and other["item_id"] not in (item, *ids):
                    listed = [by_id[one] for one in ids]
                    if _may_follow(row, other, listed, rules):
                        entries.append((other["item_id"], None, text))
    return {item: entries for item, entries in lists.items() if entries}


def _may_follow(row: Row, other: Row, listed: Sequence[Row], rules: Rules) -> bool:
    if any(row[name] is not None and row[name] == other[name] for name in rules.differ):
        return False
    if rules.price_ratio and (row["price"] or 0) > 0 and (other["price"] or 0) > 0:
        low, high = rules.price_ratio
        if not low <= other["price"] / row["price"] <= high:
            return False
    if (row["item_id"], other["item_id"]) in rules.denied:
        return False
    return all(
        other[name] is None or sum(one[name] == other[name] for one in listed) < cap
        for name, cap in rules.caps
    )
