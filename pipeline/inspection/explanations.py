"""Explanations of why a rule removes a candidate, with the values that it compares."""

import re
from typing import Any

from pipeline.config.sections import RulesSection
from pipeline.inspection.candidates import (
    COLLAPSE,
    DENY,
    DIFFER,
    ELIGIBLE,
    MAX_SCORE,
    MIN_SCORE,
    PRICE,
    SAME,
    Candidate,
)
from pipeline.query.spark_format import Value, cast_to_string

Details = dict[str, Any]


def explain_removal(rules: RulesSection, item: Details, other: Details, removed: Candidate) -> str:
    """Explain why a rule removes a candidate.

    Args:
        rules: the rules.
        item: details of the item whose list it is.
        other: details of the candidate.
        removed: the candidate, which a rule removes.
    """
    assert removed.removal is not None  # noqa: S101 - the caller has checked it
    rule, nearer_items = removed.removal.rule, removed.removal.nearer_items
    if rule == ELIGIBLE:
        return _not_eligible(rules, other)
    if rule == SAME:
        values = [(name, other.get(name), item.get(name)) for name in rules.same]
        pairs = [
            f"{name} {_value(value)}, not {_value(required)}"
            for name, value, required in values
            if value != required
        ]
        return f"rules.same: {'; '.join(pairs)}"
    if rule == DENY:
        return "rules.deny or [edits]: the pair is denied"
    if rule == PRICE:
        (low, high), price, other_price = rules.price_ratio, item["price"], other["price"]
        return (
            f"rules.price_ratio: {_value(other_price)} is {other_price / price:.3g} times "
            f"{_value(price)}, not {low:g} to {high:g}"
        )
    if rule == MIN_SCORE:
        return f"rules.min_score: {removed.score:.4f} is below {rules.min_score:g}"
    if rule == MAX_SCORE:
        return f"rules.max_score: {removed.score:.4f} is above {rules.max_score:g}"
    if rule.startswith(f"{DIFFER}."):
        column = rule.partition(".")[2]
        return f"rules.differ: {column} {_value(other.get(column))} is the item's own"
    if rule == COLLAPSE:
        value = f"{rules.collapse} {_value(other.get(rules.collapse))}"
        if not nearer_items:
            return f"rules.collapse: a variant of the item itself, {value}"
        return f"rules.collapse: {nearer_items[0]} of the same {value} is nearer"
    column = rule.partition(".")[2]
    return (
        f"rules.max_per: {column} {_value(other.get(column))} is there {len(nearer_items)} times "
        f"already: {', '.join(nearer_items)}"
    )


def _not_eligible(rules: RulesSection, other: Details) -> str:
    if not rules.eligible:
        return "rules.deny or [edits]: is in no list"
    columns = [name for name in other if re.search(rf"\b{name}\b", rules.eligible)]
    values = ", ".join(f"{name} is {_value(other.get(name))}" for name in columns)
    return (
        f"rules.eligible: {rules.eligible} does not hold{f' ({values})' if values else ''}, "
        "or rules.deny or [edits] denies it"
    )


def _value(value: Value) -> str:
    if value is None:
        return "missing"
    return f"{value:,g}" if isinstance(value, float) else str(cast_to_string(value))
