"""Values formatted as Spark does, for answers without Spark that have to agree with its tables.

Sources: Spark's XXH64.java and JacksonGenerator.scala; Java's Double.toString.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import xxhash

# A value of an item.
Value = str | float | bool | date | None
_SEED = 42  # of Spark's xxhash64
# Java's (?U)\s is the property White_Space; Python's \s also has U+001C to U+001F.
_BLANK = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f",
            "\r": "\\r"}  # fmt: skip
_SPECIAL = re.compile(r'["\\\x00-\x1f]')


def is_blank(text: str | None) -> bool:
    """Whether a text is null or white space only, as pipeline.catalogue.blank has it."""
    return text is None or _BLANK.fullmatch(text) is not None


def xxhash64(text: str) -> int:
    """Spark's xxhash64 of a string: a signed 64-bit number."""
    digest: int = xxhash.xxh64_intdigest(text.encode(), _SEED)
    return digest - (1 << 64) if digest >> 63 else digest


def as_condition_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item's values as conditions take them: a date is a text."""
    return {n: v.isoformat() if isinstance(v, date) else v for n, v in item.items()}


def cast_to_string(value: Value) -> str | None:
    """A value cast to string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    return _format_double(value) if isinstance(value, float) else value


def _format_double(value: float) -> str:
    """A number as Java's Double.toString writes it."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    decimal = Decimal(repr(value))
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = format(decimal, "f")
        return text if "." in text else f"{text}.0"
    sign, digit_tuple, _ = decimal.as_tuple()
    digits = "".join(map(str, digit_tuple)).rstrip("0")
    return f"{'-' if sign else ''}{digits[0]}.{digits[1:] or '0'}E{decimal.adjusted()}"


def struct_to_json(fields: Iterable[tuple[str, Value]]) -> str:
    """Spark's to_json of a struct, which leaves out nulls."""
    parts = []
    for name, value in fields:
        if isinstance(value, float):
            number = _format_double(value)
            # NaN and Infinity are no numbers in JSON.
            parts.append(f'"{name}":{number if number[-1].isdigit() else _quote(number)}')
        elif isinstance(value, bool):
            parts.append(f'"{name}":{str(value).lower()}')
        elif value is not None:
            parts.append(f'"{name}":{_quote(str(cast_to_string(value)))}')
    return f"{{{','.join(parts)}}}"


def _quote(text: str) -> str:
    def escape(match: "re.Match[str]") -> str:
        return _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04X}"

    return f'"{_SPECIAL.sub(escape, text)}"'
