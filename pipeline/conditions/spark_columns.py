"""A condition as a column of Spark. No operation here fails for any value, also in ANSI mode."""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from pipeline.conditions import patterns
from pipeline.conditions.nodes import Node, Type

if TYPE_CHECKING:
    from pyspark.sql import Column

# Spark's types of the values of conditions.
DATA_TYPES = {
    Type.TEXT: "string",
    Type.NUMBER: "double",
    Type.BOOLEAN: "boolean",
    Type.NULL: "boolean",
}


def column(condition: Node) -> "Column":
    """The column of a condition: true, false, or null where a value is unknown."""
    return _column(condition, condition.type)


def _column(node: Node, kind: Type) -> "Column":
    """The column of a part; a null gets the type that its surroundings need."""
    from pyspark.sql import functions as F

    if node.operation == "literal":
        return F.lit(node.value).cast(DATA_TYPES[kind])
    if node.operation == "column":
        # A date is a text here.
        return F.col(str(node.value)).cast(DATA_TYPES[node.type])
    if node.operation == "in":
        return _in(node)
    if node.operation == "case":
        return _case(node, kind)
    types = [part.type for part in node.operands if part.type is not Type.NULL]
    own = Type.TEXT if node.type is Type.NULL else node.type
    operands = [_column(part, types[0] if types else own) for part in node.operands]
    return _OPERATIONS[node.operation](operands, node)


def _in(node: Node) -> "Column":
    from pyspark.sql import functions as F

    operand, *values = node.operands
    constants = [value.value for value in values if value.type is not Type.NULL]
    if not constants or operand.type is Type.NULL:
        return F.lit(None).cast("boolean")
    tested = _column(operand, operand.type)
    # A set of numbers would tell -0.0 from 0.0.
    is_in = (tested + F.lit(0.0) if operand.type is Type.NUMBER else tested).isin(constants)
    if len(constants) == len(values):
        return is_in
    return F.when(is_in, F.lit(True)).otherwise(F.lit(None).cast("boolean"))


def _case(node: Node, kind: Type) -> "Column":
    from pyspark.sql import functions as F

    *pairs, default = node.operands
    kind = node.type if node.type is not Type.NULL else kind
    branches = list(zip(pairs[::2], pairs[1::2], strict=True))
    condition, value = branches[0]
    result = F.when(_column(condition, Type.BOOLEAN), _column(value, kind))
    for condition, value in branches[1:]:
        result = result.when(_column(condition, Type.BOOLEAN), _column(value, kind))
    return result.otherwise(_column(default, kind))


def _to_number(operands: "list[Column]", _: Node) -> "Column":
    from pyspark.sql import functions as F

    is_number = operands[0].rlike(rf"\A(?:{patterns.NUMBER})\z")
    return F.when(is_number, operands[0].try_cast("double"))


def _substring(operands: "list[Column]", node: Node) -> "Column":
    assert isinstance(node.value, tuple)  # noqa: S101 - the grammar's
    return operands[0].substr(int(node.value[0]), int(node.value[1]))


def _round(operands: "list[Column]", node: Node) -> "Column":
    from pyspark.sql import functions as F

    assert isinstance(node.value, tuple)  # noqa: S101 - the grammar's
    return F.round(operands[0], int(node.value[0]))


def _function(name: str) -> "Callable[[list[Column], Node], Column]":
    def call(operands: "list[Column]", _: Node) -> "Column":
        from pyspark.sql import functions as F

        result: Column = getattr(F, name)(*operands)
        return result

    return call


_OPERATIONS: "dict[str, Callable[[list[Column], Node], Column]]" = {
    "and": lambda operands, _: reduce(lambda a, b: a & b, operands),
    "or": lambda operands, _: reduce(lambda a, b: a | b, operands),
    "not": lambda operands, _: ~operands[0],
    "=": lambda operands, _: operands[0] == operands[1],
    "<>": lambda operands, _: operands[0] != operands[1],
    "<": lambda operands, _: operands[0] < operands[1],
    "<=": lambda operands, _: operands[0] <= operands[1],
    ">": lambda operands, _: operands[0] > operands[1],
    ">=": lambda operands, _: operands[0] >= operands[1],
    "<=>": lambda operands, _: operands[0].eqNullSafe(operands[1]),
    "isnull": lambda operands, _: operands[0].isNull(),
    "like": lambda operands, node: operands[0].like(str(node.value)),
    "+": lambda operands, _: operands[0] + operands[1],
    "-": lambda operands, _: operands[0] - operands[1],
    "*": lambda operands, _: operands[0] * operands[1],
    "/": _function("try_divide"),
    "%": _function("try_mod"),
    "negative": lambda operands, _: -operands[0],
    "to_number": _to_number,
    "substring": _substring,
    "round": _round,
    "length": lambda operands, node: _function("length")(operands, node).cast("double"),
    "coalesce": _function("coalesce"),
    **{
        name: _function(name)
        for name in ("abs", "concat", "contains", "endswith", "lower", "ltrim", "nullif",
                     "replace", "rtrim", "startswith", "trim", "upper")
    },
}  # fmt: skip
