"""Values of a question's file as a column of the items table has them: as Spark casts them."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

# What Spark casts to a boolean or a date: UTF8String.trimAll, stringToDate and StringUtils.
_SPARK_SPACE = "".join(map(chr, [*range(33), 127]))
_JAVA_SUFFIX = re.compile(r"[0-9.][dDfF]\Z")
_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
_DATE = re.compile(r"\+?(\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?", re.DOTALL | re.ASCII)


def to_text(value: object) -> str | None:
    """A value of a file as text, as it becomes one in a catalogue; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return " ".join(text for element in value if (text := to_text(element)) is not None)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _to_number(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip(_SPARK_SPACE)
        # Java has other digits, no underscores, and a type at the end.
        if not text.isascii() or "_" in text:
            return None
        value = text[:-1] if _JAVA_SUFFIX.search(text) else text
    try:
        # As in a catalogue, -0 is 0.
        return float(value) + 0.0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _to_boolean(value: object) -> bool | None:
    if isinstance(value, str):
        text = value.strip(_SPARK_SPACE).lower()
        return True if text in _TRUE else False if text in _FALSE else None
    return bool(value) if isinstance(value, bool | int) else None


def _to_date(value: object) -> date | None:
    if isinstance(value, datetime):
        # A run's session is in UTC.
        return (value if value.tzinfo is None else value.astimezone(UTC)).date()
    if isinstance(value, date) or not isinstance(value, str):
        return value if isinstance(value, date) else None
    parts = _DATE.fullmatch(value.strip(_SPARK_SPACE))
    try:
        return date(int(parts[1]), int(parts[2] or 1), int(parts[3] or 1)) if parts else None
    except ValueError:
        return None


# What a value of a file is in a column of this type; None where it is none.
VALUES: dict[pa.DataType, Callable[[object], Any]] = {
    pa.string(): to_text,
    pa.float64(): _to_number,
    pa.bool_(): _to_boolean,
    pa.date32(): _to_date,
}
TYPE_NAMES = {
    pa.float64(): "a number",
    pa.bool_(): "true or false",
    pa.date32(): "a date, as 2026-01-31",
}
