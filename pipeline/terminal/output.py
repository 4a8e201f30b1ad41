"""What commands print on stdout: lines, tables for a terminal, JSON for programs."""

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.terminal.colours import HEAD, paint

# A column of text is cut to no less than this many columns of the terminal.
_LEAST = 12


def say(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Print one JSON value."""
    say([json.dumps(value, ensure_ascii=False, indent=2)])


def columns() -> int | None:
    """How wide the terminal is; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def width(text: str) -> int:
    """How many columns of a terminal a text takes: 2 for a full-width character, 0 for a mark."""
    import wcwidth

    if text.isascii():
        return len(text)
    return sum(max(wcwidth.wcwidth(character), 0) for character in text)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: str = "",
    cut: str = "",
    styles: Mapping[str, Callable[[str], str]] | None = None,
) -> list[str]:
    """Rows of text in columns.

    Args:
        head: the columns' names.
        rows: their values.
        right: names of columns that are set to the right, with spaces between.
        cut: name of the column that is shortened where the terminal is too narrow.
        styles: of columns by name: the style of a value, of pipeline.terminal.colours.
    """
    every = [head, *rows]
    widths = [max(width(row[column]) for row in every) for column in range(len(head))]
    most = columns()
    if cut and most is not None:
        place = list(head).index(cut)
        over = sum(widths) + 2 * (len(head) - 1) - most
        widths[place] = max(min(_LEAST, widths[place]), widths[place] - max(0, over))
    aligned, styles = right.split(), styles or {}
    lines = []
    for number, row in enumerate(every):
        cells = []
        for name, value, to in zip(head, row, widths, strict=True):
            text = short(value, to) if name == cut else value
            style = HEAD if number == 0 else styles[name](value) if name in styles else ""
            painted, space = paint(text, style), " " * (to - width(text))
            cells.append(space + painted if name in aligned else painted + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def short(text: str | None, most: int = 60) -> str:
    """A text on one line, without control characters, cut to so many columns of a terminal."""
    plain = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text or "")
    line = " ".join(plain.split())
    if width(line) <= most:
        return line
    kept, taken = "", 0
    for character in line:
        taken += width(character)
        if taken > most - 1:
            break
        kept += character
    return f"{kept.rstrip()}…"


def title(text: str | None, taken: int, most: int = 60) -> str:
    """A title at the end of a line, cut to what the terminal has left of it.

    Args:
        text: the title.
        taken: how many columns are before it.
        most: columns that it may take at most.
    """
    wide = columns()
    return short(text, most if wide is None else max(_LEAST, min(most, wide - taken)))


def size(count: int) -> str:
    """Bytes as they are read."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
