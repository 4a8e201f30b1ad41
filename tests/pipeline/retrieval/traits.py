"""The oracle's rules as the search takes them."""

from typing import Any

import pyarrow as pa

from pipeline.retrieval.boosts import Boosts
from pipeline.retrieval.pair_edits import DENIED
from pipeline.retrieval.rules import Rules
from pipeline.storage.list_schemas import TRAITS
from tests.pipeline.retrieval import oracle


def rules(expected: oracle.Rules) -> Rules:
    """The rules on pairs."""
    caps = ([1] if expected.group else []) + [cap for _, cap in expected.caps]
    return Rules(
        price_ratio=expected.ratio,
        min_score=expected.low,
        max_score=expected.high,
        differ=bool(expected.group) + len(expected.differ),
        deny=bool(expected.denied),
        deny_conditional=sum(
            1 << n for n, (_, _, added) in enumerate(expected.conditional) if added is None
        ),
        caps=tuple(caps),
        boosts=Boosts(
            own=(-1.0, 1.0) if expected.own_boosts else (0.0, 0.0),
            matches=tuple(weight for _, weight in expected.match_boosts),
            price=expected.price_boost,
            conditional=tuple(added or 0.0 for _, _, added in expected.conditional),
            by_hand=bool(expected.pair_boosts),
        ),
    )


def columns(ids: list[str], rules: oracle.Rules) -> dict[str, pa.Array]:
    """The columns of TRAITS that the rules on pairs read."""
    counted = [rules.group] if rules.group else []
    counted += [values for values, _ in rules.caps]
    pair_boosts = rules.pair_boosts | dict.fromkeys(rules.denied, DENIED)
    edits: dict[str, list[dict[str, Any]]] = {}
    for (item, other), added in sorted(pair_boosts.items()):
        edits.setdefault(item, []).append({"similar_id": other, "boost": added})
    paired = {other for _, other in pair_boosts}
    kinds: dict[Any, int] = {}
    rows = []
    for n, item in enumerate(ids):
        price = rules.price[n] if rules.price else None
        differing = [*([rules.group] if rules.group else []), *rules.differ]
        differ = [_code(values[n]) for values in differing]
        capped = [_code(values[n]) for values in counted]
        matches = [_code(values[n]) for values, _ in rules.match_boosts]
        boost = rules.own_boosts[n] if rules.own_boosts else None
        own_id = item if item in paired else None
        as_item = sum(1 << i for i, (items, _, _) in enumerate(rules.conditional) if items[n])
        as_neighbor = sum(1 << i for i, (_, ones, _) in enumerate(rules.conditional) if ones[n])
        key = (price, *differ, *capped, *matches, boost, own_id, as_neighbor)
        rows.append(
            {
                "price": price,
                "differ": differ or None,
                "capped": capped if counted else None,
                "edits": edits.get(item),
                "edited_as_item": as_item,
                "edited_as_neighbor": as_neighbor,
                "matches": matches or None,
                "boost": boost,
                "kind": kinds.setdefault(key, len(kinds) + 1),
            }
        )
    names = [*("price", "differ", "capped", "edits", "matches", "boost", "kind")]
    names += ["edited_as_item", "edited_as_neighbor"]
    return {name: pa.array([row[name] for row in rows], TRAITS.field(name).type) for name in names}


def _code(value: str | None) -> int:
    return 0 if value is None else sum(ord(c) * 257**i for i, c in enumerate(value, 1))
