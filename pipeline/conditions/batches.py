"""A condition on all items of an Arrow batch at once, with the results of one item at a time.

Comparisons of a column with constants are Arrow's. Other parts are evaluated once for each
combination of the values that they read.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.conditions import patterns
from pipeline.conditions.evaluation import value_of
from pipeline.conditions.nodes import Node, Type

Bools = npt.NDArray[np.bool_]


class Items:
    """The columns of some items, on which conditions are evaluated."""

    def __init__(self, columns: pa.RecordBatch) -> None:
        """Take strings, doubles and booleans, by the names that conditions have for them."""
        self._columns = columns
        self._codes: dict[str, npt.NDArray[np.int64]] = {}

    def holds(self, condition: Node) -> Bools:
        """For which items a condition holds; not where a value is unknown: bool[n]."""
        return np.asarray(pc.fill_null(self.truth(condition), False))

    def truth(self, node: Node) -> pa.BooleanArray:
        """Where a condition, or a part of one, is true, false, or null: bool[n]."""
        if node.operation in ("and", "or"):
            return self._logic(node)
        if node.operation == "not":
            return pc.invert(self.truth(node.operands[0]))
        compare = _comparison(node)
        if compare is not None:
            return compare(self._columns[str(node.operands[0].value)])
        return self._by_values(node)

    def _logic(self, node: Node) -> pa.BooleanArray:
        """AND or OR: a part is evaluated where those before it have not decided."""
        is_and, (first, *others) = node.operation == "and", node.operands
        combine = pc.and_kleene if is_and else pc.or_kleene
        result = self.truth(first)
        for part in others:
            is_open = pc.fill_null(result if is_and else pc.invert(result), True)
            if not is_open.true_count:
                break
            # A batch without columns has no rows either.
            names = list(columns_read(part)) or self._columns.schema.names[:1]
            here = Items(self._columns.select(names).filter(is_open))
            known = combine(result.filter(is_open), here.truth(part))
            result = pc.replace_with_mask(result, is_open, known)
        return result

    def _by_values(self, node: Node) -> pa.BooleanArray:
        """Evaluate a part for each combination of values that there is."""
        names = list(columns_read(node))
        combination = np.zeros(self._columns.num_rows, dtype=np.int64)
        for name in names:
            codes = self._codes_of(name)
            mixed = combination * (codes.max(initial=0) + 1) + codes
            combination = np.unique(mixed, return_inverse=True)[1]
        _, first, place = np.unique(combination, return_index=True, return_inverse=True)
        rows = self._columns.select(names).take(pa.array(first)).to_pylist() if names else [{}]
        values = pa.array([value_of(node, row) for row in rows], pa.bool_())
        return values.take(pa.array(place))

    def _codes_of(self, name: str) -> npt.NDArray[np.int64]:
        """A number for each value of a column: int64[n]."""
        if name not in self._codes:
            encoded = self._columns[name].dictionary_encode("encode")
            self._codes[name] = np.asarray(encoded.indices).astype(np.int64)
        return self._codes[name]


def columns_read(node: Node) -> dict[str, Type]:
    """The columns that a condition reads, and their types."""
    if node.operation == "column":
        return {str(node.value): node.type}
    return {name: kind for part in node.operands for name, kind in columns_read(part).items()}


def _comparison(node: Node) -> Callable[[pa.Array], pa.BooleanArray] | None:
    """Arrow's function for a comparison of a column with constants; None if it has none."""
    if not node.operands or node.operands[0].operation != "column":
        return None
    column, *others = node.operands
    constants = [other.value for other in others if other.operation == "literal"]
    if node.operation == "isnull":
        return pc.is_null  # type: ignore[no-any-return]
    if node.operation == "like" and patterns.ESCAPE not in str(node.value):
        return lambda values: pc.match_like(values, str(node.value))
    is_plain = len(constants) == len(others) and None not in constants
    if not is_plain or column.type not in (Type.TEXT, Type.NUMBER):
        return None
    if node.operation == "in":
        return lambda values: _is_in(values, constants)
    compare = _COMPARISONS.get(node.operation)
    return None if compare is None else lambda values: compare(values, constants[0])


def _is_in(values: pa.Array, constants: list[Any]) -> pa.BooleanArray:
    # A set of numbers would tell -0.0 from 0.0.
    plain = pc.add(values, 0.0) if pa.types.is_floating(values.type) else values
    is_in = pc.is_in(plain, value_set=pa.array(constants, values.type))
    return pc.if_else(pc.is_valid(values), is_in, pa.scalar(None, pa.bool_()))


# In Arrow no comparison with NaN holds but <>; here NaN is greater than every other number.
_COMPARISONS: dict[str, Callable[[pa.Array, Any], pa.BooleanArray]] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": lambda values, constant: pc.invert(pc.less_equal(values, constant)),
    ">=": lambda values, constant: pc.invert(pc.less(values, constant)),
}
