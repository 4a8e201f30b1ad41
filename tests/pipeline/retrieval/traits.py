"""An oracle's rules as the search has them."""

from typing import Any

import pyarrow as pa

from pipeline.retrieval.rules import Rules
from pipeline.storage.clustered_tables import TRAITS
from tests.pipeline.retrieval import oracle


def rules(given: oracle.Rules) -> Rules:
    """What holds for pairs."""
    caps = ([1] if given.group else []) + [most for _, most in given.caps]
    return Rules(
        price_ratio=given.ratio,
        min_score=given.low,
        max_score=given.high,
        collapse=bool(given.group),
        deny=bool(given.denied),
        caps=tuple(caps),
    )


def columns(ids: list[str], given: oracle.Rules) -> dict[str, pa.Array]:
    """Columns of TRAITS that come of an oracle's rules."""
    counted = [given.group] if given.group else []
    counted += [values for values, _ in given.caps]
    denies: dict[str, list[str]] = {}
    for item, other in sorted(given.denied):
        denies.setdefault(item, []).append(other)
    paired = {other for _, other in given.denied}
    kinds: dict[Any, int] = {}
    rows = []
    for n, item in enumerate(ids):
        price = given.price[n] if given.price else None
        variant = _code(given.group[n]) if given.group else None
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
