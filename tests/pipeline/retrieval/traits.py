"""The oracle's rules as the search takes them."""

from typing import Any

import pyarrow as pa

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
        collapse=bool(expected.group),
        deny=bool(expected.denied),
        caps=tuple(caps),
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
        variant = _code(rules.group[n]) if rules.group else None
        capped = [_code(values[n]) for values in counted]
        key = (price, variant, *capped, item if item in paired else None)
        rows.append(
            {
                "price": price,
                "variant": variant,
                "capped": capped if counted else None,
                "denied": denies.get(item),
                "kind": kinds.setdefault(key, len(kinds) + 1),
            }
        )
    names = ("price", "variant", "capped", "denied", "kind")
    return {name: pa.array([row[name] for row in rows], TRAITS.field(name).type) for name in names}


def _code(value: str | None) -> int:
    return 0 if value is None else sum(ord(c) * 257**i for i, c in enumerate(value, 1))
