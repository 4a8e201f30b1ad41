"""Random conditions of the grammar, and random items with odd values."""

import random
from collections.abc import Callable
from typing import Any

TEXT_COLUMNS, NUMBER_COLUMNS = ("title", "category", "brand"), ("price", "stock")
TEXTS = (
    *("", " ", "a", "A", "ab ", " ab", "a%b", "a_b", "a\\b", "it's", 'say "a"', "\t", "a\nb"),
    *("靴", "靴箱", "𠮷野家", "ｱ", "ア", "é", "É", "e\u0301", "ß", "İI", "ΑΣ ΣΑΣ", "ﬀ", "ǆ", "😀a"),
    *("10", "9", "1e3", " 7 ", "x7", "\u202eab", "\x00", "\u00a0a\u3000"),
)
NUMBERS = (
    *(0.0, -0.0, 1.0, 2.5, -2.5, 0.5, 1.005, 10.0, 1e300, -1e300, 5e-324, 123456789.125),
    *(float("nan"), float("inf"), float("-inf")),
)
COMPARISONS = ("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>")


def items(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Items whose columns are missing now and then."""
    return [
        {name: rng.choice((*TEXTS, None, None)) for name in TEXT_COLUMNS}
        | {name: rng.choice((*NUMBERS, None)) for name in NUMBER_COLUMNS}
        for _ in range(count)
    ]


class Conditions:
    """Writes conditions as people do, without needless parentheses now and then."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def condition(self, depth: int = 3) -> str:
        """A condition."""
        if depth == 0 or self.rng.random() < 0.25:
            return self._test()
        parts = [self.condition(depth - 1), self.condition(depth - 1)]
        return self.rng.choice(
            [
                f"{parts[0]} AND {parts[1]}",
                f"({parts[0]}) OR {parts[1]}",
                f"{parts[0]} or ({parts[1]})",
                f"NOT ({parts[0]})",
                f"not {self._test()} and {parts[1]}",
                f"CASE WHEN {parts[0]} THEN {parts[1]} END",
                f"if({parts[0]}, {parts[1]}, {self._test()})",
                f"coalesce({parts[0]}, {parts[1]})",
                f"({parts[0]}) IS {self.rng.choice(('', 'NOT '))}NULL",
                f"({parts[0]}) is not {self.rng.choice(('true', 'false'))}",
            ]
        )

    def _test(self) -> str:
        pick, text, number = self.rng.choice, self._text, self._number
        negation = pick(("", "NOT "))
        choices: list[Callable[[], str]] = [
            lambda: f"{number()} {pick(COMPARISONS)} {number()}",
            lambda: f"{text()} {pick(COMPARISONS)} {text()}",
            lambda: f"{pick(NUMBER_COLUMNS)} {pick(COMPARISONS)} '{pick((1, 2.5, 10))}'",
            lambda: f"{number()} {negation}BETWEEN {number()} AND {number()}",
            lambda: f"{text()} {negation}between {text()} and {text()}",
            lambda: f"{number()} {negation}IN ({', '.join(self._values(self._digits))})",
            lambda: f"{text()} {negation}in ({', '.join(self._values(self._quoted))})",
            lambda: f"{text()} {negation}LIKE {self._pattern()}",
            lambda: f"{text()} {negation}like 'a!_%' escape '!'",
            lambda: f"{pick((text, number))()} IS {negation}NULL",
            lambda: f"{pick(('isnull', 'isnotnull'))}({pick((text, number))()})",
            lambda: f"{pick(('startswith', 'endswith', 'contains'))}({text()}, {text()})",
        ]
        return pick(choices)()

    def _values(self, value: Any) -> list[str]:
        values = [value() for _ in range(self.rng.randint(1, 4))]
        return [*values, "NULL"] if self.rng.random() < 0.2 else values

    def _digits(self) -> str:
        return self.rng.choice(("0", "1", "2.5", "-2.5", ".5", "10", "1e300", "1.005"))

    def _quoted(self) -> str:
        text = self.rng.choice(TEXTS)
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        if '"' not in text and self.rng.random() < 0.3:
            return f'"{escaped}"'
        return "'" + escaped.replace("'", "\\'") + "'"

    def _pattern(self) -> str:
        return self.rng.choice(
            ("'a%'", "'%b'", "'%b%'", "'a_b'", r"'a\\_b'", r"'%\\%%'", "'_'", "'__'", "'%靴%'",
             "''", "'%'", "'A%'", r"'a\\\\b'", "'𠮷%'", "'_野%'")
        )  # fmt: skip

    def _text(self, depth: int = 2) -> str:
        pick, text = self.rng.choice, self._text
        if depth == 0 or self.rng.random() < 0.5:
            return pick((lambda: pick(TEXT_COLUMNS), self._quoted))()
        smaller = depth - 1
        start, size = self.rng.randint(-4, 4), self.rng.randint(-1, 3)
        choices: list[Callable[[], str]] = [
            lambda: f"{pick(('lower', 'UPPER', 'trim', 'ltrim', 'rtrim'))}({text(smaller)})",
            lambda: f"concat({text(smaller)}, {text(smaller)})",
            lambda: f"{text(smaller)} || {text(smaller)}",
            lambda: f"substring({text(smaller)}, {start}, {size})",
            lambda: f"substr({text(smaller)}, {start})",
            lambda: f"replace({text(smaller)}, {text(smaller)}, 'x')",
            lambda: f"coalesce({text(smaller)}, {text(smaller)})",
            lambda: f"nullif({text(smaller)}, {text(smaller)})",
        ]
        return pick(choices)()

    def _number(self, depth: int = 2) -> str:
        pick, number = self.rng.choice, self._number
        if depth == 0 or self.rng.random() < 0.4:
            return pick((lambda: pick(NUMBER_COLUMNS), self._digits))()
        column, smaller = pick(NUMBER_COLUMNS), depth - 1
        choices: list[Callable[[], str]] = [
            lambda: f"{column} {pick('+-*/%')} {self._digits()}",
            lambda: f"{column} {pick('+-*')} price {pick('*/%')} {column}",
            lambda: f"({column} - {self._digits()}) * {column}",
            lambda: f"-{column}",
            lambda: f"abs({number(smaller)})",
            lambda: f"round({column}, {self.rng.randint(-1, 2)})",
            lambda: f"length({self._text(1)})",
            lambda: f"coalesce({column}, {self._digits()})",
            lambda: f"nullif({column}, {self._digits()})",
            lambda: f"cast({self._text(1)} as double)",
            lambda: f"case when {column} > 1 then {column} else {self._digits()} end",
        ]
        return pick(choices)()
