"""The parts of a parsed condition: operations with their types."""

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
