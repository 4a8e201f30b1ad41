"""A condition on a few items, evaluated without Spark, with Spark's results.

Sources: Spark's UTF8String.substringSQL, Round (BigDecimal, half up), StringReplace, and the rules
of SQL for nulls; NaN equals itself and is greater than every other number.
"""

import math
import operator
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from re import fullmatch
from typing import Any

from pipeline.conditions import patterns
from pipeline.conditions.nodes import Node

Value = str | float | bool | None
Row = Mapping[str, Any]
# Digits enough for every number.
_EXACT = Context(prec=800)
_regex = lru_cache(maxsize=64)(patterns.to_regex)


def value_of(node: Node, row: Row) -> Value:
    """The value of a part of a condition for one item.

    Args:
        node: the part, or the whole condition.
        row: values by column; columns that are left out are missing.
    """
    special = _SPECIAL.get(node.operation)
    if special is not None:
        return special(node, row)
    operands = [value_of(part, row) for part in node.operands]
    if None in operands:
        return None
    value: Value = _OPERATIONS[node.operation](*operands, *_arguments(node))
    return value


def _arguments(node: Node) -> tuple[Any, ...]:
    if node.value is None:
        return ()
    return node.value if isinstance(node.value, tuple) else (node.value,)


def _logic(decisive: bool) -> Callable[[Node, Row], Value]:
    """OR (true decides) or AND (false decides)."""

    def evaluate(node: Node, row: Row) -> Value:
        values = {value_of(part, row) for part in node.operands}
        return decisive if decisive in values else None if None in values else not decisive

    return evaluate


def _null_safe_equal(node: Node, row: Row) -> Value:
    left, right = (value_of(part, row) for part in node.operands)
    return left is right if left is None or right is None else _order(left) == _order(right)


def _in(node: Node, row: Row) -> Value:
    tested, *values = (value_of(part, row) for part in node.operands)
    if tested is None:
        return None
    is_in = any(value is not None and _order(value) == _order(tested) for value in values)
    return True if is_in else None if None in values else False


def _case(node: Node, row: Row) -> Value:
    *pairs, default = node.operands
    for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
        if value_of(condition, row):
            return value_of(value, row)
    return value_of(default, row)


def _coalesce(node: Node, row: Row) -> Value:
    values = (value_of(part, row) for part in node.operands)
    return next((value for value in values if value is not None), None)


def _nullif(node: Node, row: Row) -> Value:
    left, right = (value_of(part, row) for part in node.operands)
    is_equal = left is not None and right is not None and _order(left) == _order(right)
    return None if is_equal else left


def _order(value: str | float) -> tuple[bool, str | float]:
    is_nan = isinstance(value, float) and math.isnan(value)
    return is_nan, 0.0 if is_nan else value


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: compare(_order(left), _order(right))


def _divide(left: float, right: float) -> float | None:
    return left / right if right else None


def _remainder(left: float, right: float) -> float | None:
    if not right:
        return None
    return math.nan if math.isinf(left) else math.fmod(left, right)


def _to_number(text: str) -> float | None:
    return float(text) if fullmatch(patterns.NUMBER, text) else None


def _substring(text: str, start: int, size: int) -> str:
    first = start - 1 if start > 0 else len(text) + start if start < 0 else 0
    return text[max(first, 0) : max(first + size, 0)]


def _round(number: float, digits: int) -> float:
    if not math.isfinite(number):
        return number
    step = Decimal(1).scaleb(-digits)
    return float(Decimal(repr(number)).quantize(step, ROUND_HALF_UP, _EXACT))


def _replace(text: str, search: str, replacement: str) -> str:
    return text.replace(search, replacement) if search else text


_SPECIAL: dict[str, Callable[[Node, Row], Value]] = {
    "literal": lambda node, _: node.value,  # type: ignore[dict-item, return-value]
    "column": lambda node, row: row.get(str(node.value)),
    "and": _logic(False),
    "or": _logic(True),
    "isnull": lambda node, row: value_of(node.operands[0], row) is None,
    "<=>": _null_safe_equal,
    "in": _in,
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "not": operator.not_,
    "=": _compare(operator.eq),
    "<>": _compare(operator.ne),
    "<": _compare(operator.lt),
    "<=": _compare(operator.le),
    ">": _compare(operator.gt),
    ">=": _compare(operator.ge),
    "like": lambda text, pattern: _regex(pattern).fullmatch(text) is not None,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
    "negative": operator.neg,
    "abs": abs,
    "round": _round,
    "to_number": _to_number,
    "length": lambda text: float(len(text)),
    "lower": str.lower,
    "upper": str.upper,
    "trim": lambda text: text.strip(" "),
    "ltrim": lambda text: text.lstrip(" "),
    "rtrim": lambda text: text.rstrip(" "),
    "concat": lambda *texts: "".join(texts),
    "replace": _replace,
    "substring": _substring,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text, part: part in text,
}
