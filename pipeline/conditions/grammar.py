"""The grammar of conditions: what they may hold, and their types.

sqlglot parses them; what is not listed here is refused. Numbers are 64-bit floats, as in the
items table, so that both engines compute alike. A null, a division by zero and a text that is no
number are unknown: they fail no run.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.conditions import functions, patterns
from pipeline.conditions.nodes import COLUMNS, Node, Type, literal

if TYPE_CHECKING:
    from sqlglot import exp

_ALLOWED = (
    "a condition holds columns, numbers, 'texts', = <> < <= > >= <=>, IN (values), BETWEEN, LIKE, "
    "IS [NOT] NULL, AND, OR, NOT, + - * / %, ||, CASE WHEN, CAST(... AS DOUBLE), and the "
    f"functions {', '.join(functions.NAMES)}"
)
_EXAMPLE = "a condition is written like this: stock > 0 AND brand = 'A'"
# Those that Spark and the parser read alike.
_TEXT_ESCAPES = "\\'\"%_nrt"
_SNIPPET = 30
# Python's own limit is 1000 calls.
_MAX_DEPTH = 100
_TOO_DEEP = "it is nested too deeply"


class ConditionError(ValueError):
    """A text is no condition of the grammar: what is wrong, where, and what is allowed."""


def parse(text: str, columns: Mapping[str, Type] = COLUMNS) -> Node:
    """Parse a condition on the columns of the items table.

    Args:
        text: the condition.
        columns: the columns and their types.

    Raises:
        ConditionError: it is none.
    """
    import sqlglot
    from sqlglot.errors import ParseError, TokenError

    try:
        tree = sqlglot.parse_one(_checked(text), dialect="spark")
        return Translation(text, columns).condition(tree)
    except (ParseError, TokenError) as error:
        details = getattr(error, "errors", None)
        place = details[0]["description"] if details else str(error).splitlines()[0]
        at = details[0]["highlight"] if details else ""
        problem = re.sub(r" <class.*?>", " an expression", place)
        raise _error(problem, at, _EXAMPLE) from error
    except RecursionError as error:
        raise _error(_TOO_DEEP, "", _EXAMPLE) from error


def _error(problem: str, at: str, hint: str = _ALLOWED) -> ConditionError:
    place = f", at {at!r}" if at else ""
    return ConditionError(f"not a condition: {problem}{place}; {hint}")


def _checked(text: str) -> str:
    """Check what the parser passes over, and the escapes in the literals.

    Returns:
        the text for the parser, which does not know that two quotation marks in a text are one.

    Raises:
        ConditionError: there is a comment or a semicolon; or an escape that Spark and the parser
            may read differently.
    """
    from sqlglot.dialects.spark import Spark
    from sqlglot.tokenizer_core import TokenType

    parts: list[str] = []
    end, was_text = 0, False
    for token in Spark().tokenize(text):
        raw = text[token.start : token.end + 1]
        gap, is_text = text[end : token.start], token.token_type == TokenType.STRING
        _check_gap(gap)
        if is_text and was_text and not gap and parts[-1][-1] == raw[0]:
            parts[-1] = f"{parts[-1][:-1]}\\{raw}"
        else:
            parts += [gap, raw]
        end, was_text = token.end + 1, is_text
        if token.token_type in (TokenType.SEMICOLON, TokenType.HINT):
            raise _error("this is not allowed", text[token.start :][:_SNIPPET])
        if is_text:
            for match in re.finditer(r"\\(.?)", raw, re.DOTALL):
                if match[1] not in _TEXT_ESCAPES or not match[1]:
                    raise _error(r"a backslash in a text is written \\", raw[:_SNIPPET])
    _check_gap(text[end:])
    return "".join(parts)


def _check_gap(gap: str) -> None:
    if gap.strip():
        raise _error("a comment is not allowed", gap.strip()[:_SNIPPET])


class Translation:
    """Translates sqlglot's tree of one condition. Its public methods are for `functions`."""

    def __init__(self, text: str, columns: Mapping[str, Type]) -> None:
        from sqlglot import exp

        self._text, self._columns, self._depth = text, columns, 0
        self._functions = functions.handlers()
        compare = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">",
                   exp.GTE: ">=", exp.NullSafeEQ: "<=>"}  # fmt: skip
        arithmetic = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
        self._handlers: dict[type, Callable[[Any], Node]] = {
            exp.Paren: lambda node: self.node(node.this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda node: literal(bool(node.this)),
            exp.Null: lambda _: literal(None),
            exp.And: lambda node: self._logic("and", node),
            exp.Or: lambda node: self._logic("or", node),
            exp.Not: lambda node: self._negation(self._boolean(node.this)),
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.Escape: lambda node: self._like(node.this, node.expression),
            exp.Neg: lambda node: Node("negative", Type.NUMBER, (self._number(node.this),)),
        }
        for kind, sign in compare.items():
            self._handlers[kind] = lambda node, sign=sign: self._comparison(sign, node)  # type: ignore[misc]
        for kind, sign in arithmetic.items():
            self._handlers[kind] = lambda node, sign=sign: Node(  # type: ignore[misc]
                sign, Type.NUMBER, (self._number(node.this), self._number(node.expression))
            )

    def condition(self, tree: "exp.Expr") -> Node:
        """The whole condition."""
        return self._boolean(tree)

    def node(self, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        """A part of it."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _error(_TOO_DEEP, "", _EXAMPLE)
        kind = type(tree)
        if kind in self._functions:
            node = self._functions[kind](self, tree)
        elif kind in self._handlers:
            node = self._handlers[kind](tree)
        else:
            raise self.refusal("this is not allowed", tree)
        self._depth -= 1
        # sqlglot marks NOT LIKE at the operator.
        return self._negation(node) if tree.args.get("negate") else node

    def refusal(self, problem: str, tree: Any, hint: str = _ALLOWED) -> ConditionError:  # noqa: ANN401 - sqlglot's
        """The error that says what is wrong with a part, where it begins, and what is right."""
        starts = [part.meta["start"] for part in tree.walk() if "start" in part.meta]
        start = min(starts, default=0)
        return _error(problem, self._text[start : start + _SNIPPET], hint)

    def typed(self, tree: Any, kind: Type) -> Node:  # noqa: ANN401 - sqlglot's
        """A part that must be of a type, or null."""
        node = self.node(tree)
        if node.type not in (kind, Type.NULL):
            problem = f"this is {node.type.value}, where {kind.value} is needed"
            raise self.refusal(problem, tree, _EXAMPLE)
        return node

    def _boolean(self, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        return self.typed(tree, Type.BOOLEAN)

    def _number(self, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        return self.typed(tree, Type.NUMBER)

    def _text_of(self, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        return self.typed(tree, Type.TEXT)

    def _column(self, tree: "exp.Column") -> Node:
        if tree.name not in self._columns or tree.table:
            names = ", ".join(self._columns)
            hint = f"the columns are {names}; a text stands between quotation marks: 'text'"
            raise self.refusal(f"{tree.sql()} is no column", tree, hint)
        return Node("column", self._columns[tree.name], value=tree.name)

    def _literal(self, tree: "exp.Literal") -> Node:
        if tree.is_string:
            return literal(str(tree.this))
        number = float(tree.this)
        if number == float("inf"):
            raise self.refusal("this number is too large", tree)
        return literal(number)

    def _logic(self, operation: str, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        # A chain of many is one operation, not a deep tree.
        operands = tuple(self._boolean(part) for part in tree.flatten(unnest=False))
        return Node(operation, Type.BOOLEAN, operands)

    @staticmethod
    def _negation(node: Node) -> Node:
        return Node("not", Type.BOOLEAN, (node,))

    def aligned(self, trees: list[Any]) -> list[Node]:
        """Parts of one type; texts beside numbers are read as numbers if they are literals."""
        nodes = [self.node(tree) for tree in trees]
        types = {node.type for node in nodes} - {Type.NULL}
        if types == {Type.TEXT, Type.NUMBER}:
            nodes = [_literal_as_number(node) for node in nodes]
            types = {node.type for node in nodes} - {Type.NULL}
        if len(types) > 1:
            named = " and ".join(sorted(kind.value for kind in types))
            raise self.refusal(
                f"{named} can't be compared or mixed; write a text as '5', a number as 5, or "
                "CAST(... AS DOUBLE)",
                trees[0],
                _EXAMPLE,
            )
        return nodes

    def _comparison(self, sign: str, tree: Any) -> Node:  # noqa: ANN401 - sqlglot's
        nodes = self.aligned([tree.this, tree.expression])
        if Type.BOOLEAN in {node.type for node in nodes} and sign not in ("=", "<>", "<=>"):
            raise self.refusal(f"{sign} does not compare true and false", tree)
        return Node(sign, Type.BOOLEAN, tuple(nodes))

    def _is(self, tree: "exp.Is") -> Node:
        from sqlglot import exp

        operand = self.node(tree.this)
        if isinstance(tree.expression, exp.Null):
            return Node("isnull", Type.BOOLEAN, (operand,))
        if isinstance(tree.expression, exp.Boolean) and operand.type is Type.BOOLEAN:
            return Node("<=>", Type.BOOLEAN, (operand, literal(bool(tree.expression.this))))
        raise self.refusal("IS stands before [NOT] NULL, TRUE and FALSE only", tree)

    def _in(self, tree: "exp.In") -> Node:
        extra = {key for key, value in tree.args.items() if value} - {"this", "expressions"}
        if extra or not tree.expressions:
            raise self.refusal("IN takes a list of values", tree)
        operand, *values = self.aligned([tree.this, *tree.expressions])
        values = [_constant(value) for value in values]
        if any(value.operation != "literal" for value in values):
            raise self.refusal("IN takes a list of values", tree)
        return Node("in", Type.BOOLEAN, (operand, *values))

    def _between(self, tree: "exp.Between") -> Node:
        if tree.args.get("symmetric"):
            raise self.refusal("SYMMETRIC is not allowed", tree)
        operand, low, high = self.aligned([tree.this, tree.args["low"], tree.args["high"]])
        if operand.type is Type.BOOLEAN:
            raise self.refusal("BETWEEN does not compare true and false", tree)
        bounds = (
            Node(">=", Type.BOOLEAN, (operand, low)),
            Node("<=", Type.BOOLEAN, (operand, high)),
        )
        return Node("and", Type.BOOLEAN, bounds)

    def _like(self, tree: Any, escape: Any = None) -> Node:  # noqa: ANN401 - sqlglot's
        from sqlglot import exp

        if not isinstance(tree, exp.Like):
            raise self.refusal("this is not allowed", tree)
        pattern, character = tree.expression, patterns.ESCAPE if escape is None else escape.name
        if not (isinstance(pattern, exp.Literal) and pattern.is_string and len(character) == 1):
            raise self.refusal("the pattern of LIKE is a text, and its escape one character", tree)
        try:
            value = patterns.normalise(pattern.name, character)
        except ValueError as error:
            raise self.refusal(str(error), tree) from error
        node = Node("like", Type.BOOLEAN, (self._text_of(tree.this),), value)
        # Where there is an ESCAPE, `node` sees that and not the LIKE in it.
        return self._negation(node) if escape is not None and tree.args.get("negate") else node

    def integer(self, tree: Any) -> int:  # noqa: ANN401 - sqlglot's
        """A literal that must be a whole number."""
        value = _constant(self.node(tree)).value
        if not isinstance(value, float) or value != int(value) or abs(value) >= 2**31:
            raise self.refusal("a whole number is needed here", tree)
        return int(value)


def _literal_as_number(node: Node) -> Node:
    is_number = isinstance(node.value, str) and re.fullmatch(patterns.NUMBER, node.value)
    return literal(float(str(node.value))) if node.operation == "literal" and is_number else node


def _constant(node: Node) -> Node:
    """A literal with its sign."""
    if node.operation == "negative" and isinstance(node.operands[0].value, float):
        return literal(-node.operands[0].value)
    return node
