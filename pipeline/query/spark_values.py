"""Values as Spark makes them, where an answer without Spark has to agree with a table of Spark's.

Sources: Spark's XXH64.java and JacksonGenerator.scala; Java's Double.toString.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

import xxhash

_SEED = 42  # of Spark's xxhash64
# The property White_Space, which Java's (?U)\s is; Python's \s holds U+001C to U+001F too.
_BLANK = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f",
            "\r": "\\r"}  # fmt: skip
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


def blank(text: str | None) -> bool:
    """Whether a text is null or white space only, as pipeline.catalogue.blank has it."""
    return text is None or _BLANK.fullmatch(text) is not None


def xxhash64(text: str) -> int:
    """Spark's xxhash64 of a string: a signed 64-bit number."""
    digest: int = xxhash.xxh64_intdigest(text.encode(), _SEED)
    return digest - (1 << 64) if digest >> 63 else digest


def text_of(value: str | float | None) -> str | None:
    """A value cast to string."""
    return _double(value) if isinstance(value, float) else value


def _double(value: float) -> str:
    """As Java's Double.toString."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        digits = format(Decimal(repr(value)), "f")
        return digits if "." in digits else f"{digits}.0"
    sign, digits_of, _ = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digits_of)).rstrip("0")
    power = Decimal(repr(value)).adjusted()
    return f"{'-' if sign else ''}{digits[0]}.{digits[1:] or '0'}E{power}"


def struct_json(fields: Iterable[tuple[str, str | float | None]]) -> str:
    """As to_json of a struct: what is null is left out."""
    parts = []
    for name, value in fields:
        if isinstance(value, float):
            written = _double(value)
            parts.append(f'"{name}":{written if written[-1].isdigit() else _quoted(written)}')
        elif value is not None:
            parts.append(f'"{name}":{_quoted(value)}')
    return f"{{{','.join(parts)}}}"


def _quoted(text: str) -> str:
    def escaped(found: "re.Match[str]") -> str:
        return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04X}"

    return f'"{_ESCAPED.sub(escaped, text)}"'
