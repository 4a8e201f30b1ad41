"""The functions that a condition may call, CASE and CAST among them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.conditions.nodes import Node, Type, literal

if TYPE_CHECKING:
    from sqlglot import exp

    from pipeline.conditions.grammar import Translation

NAMES = (
    *("abs", "coalesce", "concat", "contains", "endswith", "if", "isnotnull", "isnull"),
    *("length", "lower", "ltrim", "nullif", "replace", "round", "rtrim", "startswith"),
    *("substring", "trim", "upper"),
)
Handler = Callable[["Translation", Any], Node]
_MAX_DIGITS = 15


def handlers() -> dict[type, Handler]:
    """What translates each kind of sqlglot's nodes."""
    from sqlglot import exp

    return {
        exp.Case: _case,
        exp.If: lambda to, tree: _choice(to, [tree], tree.args.get("false")),
        exp.Cast: _cast,
        exp.TryCast: _cast,
        exp.DPipe: lambda to, tree: _texts(to, "concat", tree.this, tree.expression),
        exp.Concat: lambda to, tree: _texts(to, "concat", *tree.expressions),
        exp.Coalesce: lambda to, tree: _same(to, "coalesce", [tree.this, *tree.expressions]),
        exp.Nullif: lambda to, tree: _same(to, "nullif", [tree.this, tree.expression]),
        exp.Substring: _substring,
        exp.Round: _round,
        exp.Trim: _trim,
        exp.Abs: lambda to, tree: Node("abs", Type.NUMBER, (to.typed(tree.this, Type.NUMBER),)),
        exp.Length: lambda to, tree: Node("length", Type.NUMBER, (to.typed(tree.this, Type.TEXT),)),
        exp.Lower: lambda to, tree: _texts(to, "lower", tree.this),
        exp.Upper: lambda to, tree: _texts(to, "upper", tree.this),
        exp.Replace: _replace,
        exp.StartsWith: lambda to, tree: _test(to, "startswith", tree),
        exp.EndsWith: lambda to, tree: _test(to, "endswith", tree),
        exp.Contains: lambda to, tree: _test(to, "contains", tree),
        exp.Anonymous: _anonymous,
    }


def _case(to: "Translation", tree: "exp.Case") -> Node:
    if tree.this:
        raise to.refusal("write CASE WHEN condition THEN value", tree)
    return _choice(to, tree.args["ifs"], tree.args.get("default"))


def _choice(to: "Translation", branches: list[Any], default: Any) -> Node:  # noqa: ANN401 - sqlglot's
    """A node of conditions and values in turn, and the default at the end."""
    conditions = [to.typed(branch.this, Type.BOOLEAN) for branch in branches]
    values = [branch.args["true"] for branch in branches]
    nodes = to.aligned([*values, *([] if default is None else [default])])
    if default is None:
        nodes.append(literal(None))
    pairs = zip(conditions, nodes, strict=False)
    return Node("case", _common(nodes), (*(part for pair in pairs for part in pair), nodes[-1]))


def _cast(to: "Translation", tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
    operand = to.node(tree.this)
    if tree.to.sql().upper() != "DOUBLE" or tree.args.get("format"):
        raise to.refusal("the only cast is CAST(... AS DOUBLE)", tree)
    if operand.type is Type.BOOLEAN:
        raise to.refusal("true and false can't be cast", tree)
    return operand if operand.type is Type.NUMBER else Node("to_number", Type.NUMBER, (operand,))


def _same(to: "Translation", operation: str, trees: list[Any]) -> Node:
    nodes = to.aligned(trees)
    return Node(operation, _common(nodes), tuple(nodes))


def _texts(to: "Translation", operation: str, *trees: Any) -> Node:  # noqa: ANN401 - sqlglot's
    return Node(operation, Type.TEXT, tuple(to.typed(tree, Type.TEXT) for tree in trees))


def _test(to: "Translation", operation: str, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
    operands = to.typed(tree.this, Type.TEXT), to.typed(tree.expression, Type.TEXT)
    return Node(operation, Type.BOOLEAN, operands)


def _replace(to: "Translation", tree: "exp.Replace") -> Node:
    operands = _texts(to, "replace", tree.this, tree.expression).operands
    replacement = tree.args.get("replacement")
    last = literal("") if replacement is None else to.typed(replacement, Type.TEXT)
    return Node("replace", Type.TEXT, (*operands, last))


def _trim(to: "Translation", tree: "exp.Trim") -> Node:
    if tree.expression or tree.args.get("collation"):
        raise to.refusal("trim takes one text, and cuts its spaces", tree)
    side = str(tree.args.get("position") or "").upper()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, "trim")
    return _texts(to, name, tree.this)


def _substring(to: "Translation", tree: "exp.Substring") -> Node:
    length = tree.args.get("length")
    size = 2**31 - 1 if length is None else to.integer(length)
    operand = to.typed(tree.this, Type.TEXT)
    return Node("substring", Type.TEXT, (operand,), (to.integer(tree.args["start"]), size))


def _round(to: "Translation", tree: "exp.Round") -> Node:
    decimals = tree.args.get("decimals")
    digits = 0 if decimals is None else to.integer(decimals)
    if abs(digits) > _MAX_DIGITS or tree.args.get("truncate"):
        raise to.refusal(f"round takes a number, and -{_MAX_DIGITS} to {_MAX_DIGITS} digits", tree)
    return Node("round", Type.NUMBER, (to.typed(tree.this, Type.NUMBER),), (digits,))


def _anonymous(to: "Translation", tree: "exp.Anonymous") -> Node:
    name, operands = str(tree.this).lower(), tree.expressions
    if name not in ("isnull", "isnotnull") or len(operands) != 1:
        raise to.refusal(f"the function {tree.this} is not allowed", tree)
    node = Node("isnull", Type.BOOLEAN, (to.node(operands[0]),))
    return node if name == "isnull" else Node("not", Type.BOOLEAN, (node,))


def _common(nodes: list[Node]) -> Type:
    return next((node.type for node in nodes if node.type is not Type.NULL), Type.NULL)
