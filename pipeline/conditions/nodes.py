"""The parts of a parsed condition: operations with their types."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Type(Enum):
    """The type of a part; its value is what messages call it."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "null"


TEXTS = (
    *("item_id", "title", "description", "category", "group_id", "brand", "locale"),
    "image_url",
)
NUMBERS = ("price", "stock")
COLUMNS = {
    **dict.fromkeys(TEXTS, Type.TEXT),
    **dict.fromkeys(NUMBERS, Type.NUMBER),
}
# What the types of catalogue.types are in conditions: a date is a text, 2026-01-31.
FURTHER_TYPES = {
    "string": Type.TEXT,
    "number": Type.NUMBER,
    "boolean": Type.BOOLEAN,
    "date": Type.TEXT,
}


def columns_of(further: Mapping[str, str]) -> dict[str, Type]:
    """The columns that conditions may name.

    Args:
        further: the types of the catalogue's further columns, as in catalogue.types.
    """
    return COLUMNS | {name: FURTHER_TYPES[kind] for name, kind in further.items()}


@dataclass(frozen=True)
class Node:
    """A part of a condition.

    Attributes:
        operation: its name, which both engines know.
        type: of its value.
        operands: the parts that it works on.
        value: of `column` the name; of `literal` the value; else what the operation has besides
            operands.
    """

    operation: str
    type: Type
    operands: tuple["Node", ...] = ()
    value: str | float | bool | tuple[str | float | int, ...] | None = None


def literal(value: str | float | bool | None) -> Node:
    """A literal's node."""
    if value is None:
        return Node("literal", Type.NULL)
    if isinstance(value, bool):
        return Node("literal", Type.BOOLEAN, value=value)
    if isinstance(value, str):
        return Node("literal", Type.TEXT, value=value)
    # There is one zero: -0.0 + 0.0 is 0.0.
    return Node("literal", Type.NUMBER, value=value + 0.0)
