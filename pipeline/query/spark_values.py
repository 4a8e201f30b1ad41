"""Values as Spark makes them, where an answer without Spark has to agree with a table of Spark's.

Sources: Spark's XXH64.java and JacksonGenerator.scala; Java's Double.toString; xxHash's
doc/xxhash_spec.md.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
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
    data = text.encode()
    size, place = len(data), 0
    if size >= 32:
        lanes = [_SEED + _P1 + _P2, _SEED + _P2, _SEED, _SEED - _P1]
        while place <= size - 32:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], _word(data, place + 8 * lane, 8))
            place += 32
        value = sum(map(_rotate, lanes, (1, 7, 12, 18))) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = _SEED + _P5
    value = (value + size) & _MASK
    for start in range(place, size - 7, 8):
        value ^= _round(0, _word(data, start, 8))
        value = (_rotate(value, 27) * _P1 + _P4) & _MASK
    place = size - size % 8
    if size - place >= 4:
        value ^= _word(data, place, 4) * _P1 & _MASK
        value = (_rotate(value, 23) * _P2 + _P3) & _MASK
        place += 4
    for byte in data[place:]:
        value = _rotate(value ^ (byte * _P5 & _MASK), 11) * _P1 & _MASK
    for shift, factor in ((33, _P2), (29, _P3), (32, 1)):
        value = (value ^ (value >> shift)) * factor & _MASK
    return value - (1 << 64) if value >> 63 else value


def _word(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _rotate(value: int, by: int) -> int:
    value &= _MASK
    return ((value << by) | (value >> (64 - by))) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotate(lane + word * _P2, 31) * _P1 & _MASK


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
