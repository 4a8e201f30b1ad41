"""What commands print on stdout: lines, tables for a terminal, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence


def say(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Print one JSON value."""
    say([json.dumps(value, ensure_ascii=False, indent=2)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> list[str]:
    """Rows of text in columns.

    Args:
        head: the columns' names.
        rows: their values.
        right: names of columns that are set to the right, with spaces between.
    """
    every = [head, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    aligned = right.split()
    return [
        "  ".join(
            value.rjust(width) if name in aligned else value.ljust(width)
            for value, width, name in zip(row, widths, head, strict=True)
        ).rstrip()
        for row in every
    ]


def short(text: str | None, most: int = 60) -> str:
    """A text on one line, cut to so many characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def size(count: int) -> str:
    """Bytes as they are read."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
