"""The oracle's rules as the search takes them."""

from typing import Any

import pyarrow as pa

from pipeline.retrieval.boosts import Boosts
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
        caps=tuple(caps),
        boosts=Boosts(
            own=(-1.0, 1.0) if expected.own_boosts else (0.0, 0.0),
            matches=tuple(weight for _, weight in expected.match_boosts),
            price=expected.price_boost,
        ),
    )


def columns(ids: list[str], rules: oracle.Rules) -> dict[str, pa.Array]:
    """The columns of TRAITS that the rules on pairs read."""
    counted = [rules.group] if rules.group else []
    counted += [values for values, _ in rules.caps]
    denies: dict[str, list[str]] = {}
    for item, other in sorted(rules.denied):
        denies.setdefault(item, []).append(other)
    paired = {other for _, other in rules.denied}
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
        key = (price, *differ, *capped, *matches, boost, own_id)
        rows.append(
            {
                "price": price,
                "differ": differ or None,
                "capped": capped if counted else None,
                "denied": denies.get(item),
                "matches": matches or None,
                "boost": boost,
                "kind": kinds.setdefault(key, len(kinds) + 1),
            }
        )
    names = ("price", "differ", "capped", "denied", "matches", "boost", "kind")
    return {name: pa.array([row[name] for row in rows], TRAITS.field(name).type) for name in names}


def _code(value: str | None) -> int:
    return 0 if value is None else sum(ord(c) * 257**i for i, c in enumerate(value, 1))
