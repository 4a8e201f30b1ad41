"""What a rule holds against a candidate, with the values, in words."""

import re
from typing import Any

from pipeline.config.sections import RulesSection
from pipeline.inspection.candidates import (
    DENY,
    ELIGIBLE,
    MAX_SCORE,
    MIN_SCORE,
    OWN,
    PRICE,
    SAME,
    Candidate,
)
from pipeline.store.schemas import DETAILS

Details = dict[str, Any]


def of_rule(section: RulesSection, item: Details, other: Details, found: Candidate) -> str:
    """Why a rule removes a candidate.

    Args:
        section: the rules.
        item: the details of the item whose list it is.
        other: those of the candidate.
        found: the candidate, which a rule removes.
    """
    assert found.removed is not None  # noqa: S101 - the caller has looked
    rule, by = found.removed.rule, found.removed.by
    if rule == ELIGIBLE:
        return _not_eligible(section, other)
    if rule == SAME:
        differ = [name for name in section.same if item.get(name) != other.get(name)]
        pairs = [f"{name} {_said(other.get(name))}, not {_said(item.get(name))}" for name in differ]
        return f"rules.same: {'; '.join(pairs)}"
    if rule == DENY:
        return "rules.deny: the pair is denied"
    if rule == PRICE:
        low, high = section.price_ratio
        mine, theirs = item["price"], other["price"]
        return (
            f"rules.price_ratio: {_said(theirs)} is {theirs / mine:.3g} times {_said(mine)}, "
            f"not {low:g} to {high:g}"
        )
    if rule == MIN_SCORE:
        return f"rules.min_score: {found.score:.4f} is below {section.min_score:g}"
    if rule == MAX_SCORE:
        return f"rules.max_score: {found.score:.4f} is above {section.max_score:g}"
    if rule == OWN:
        value = f"{section.collapse} {_said(other.get(section.collapse))}"
        if not by:
            return f"rules.collapse: a variant of the item itself, {value}"
        return f"rules.collapse: {by[0]} of the same {value} is nearer"
    column = rule.partition(".")[2]
    return (
        f"rules.max_per: {column} {_said(other.get(column))} is there {len(by)} times already: "
        f"{', '.join(by)}"
    )


def _not_eligible(section: RulesSection, other: Details) -> str:
    if not section.eligible:
        return "rules.deny: is in no list"
    named = [name for name in DETAILS.names if re.search(rf"\b{name}\b", section.eligible)]
    values = ", ".join(f"{name} is {_said(other.get(name))}" for name in named)
    denied = ", or rules.deny names it" if section.deny else ""
    shown = f" ({values})" if values else ""
    return f"rules.eligible: {section.eligible} does not hold{shown}{denied}"


def _said(value: object) -> str:
    if value is None:
        return "missing"
    return f"{value:,g}" if isinstance(value, float) else str(value)
