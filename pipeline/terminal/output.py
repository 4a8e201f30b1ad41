"""Printing on stdout: lines, tables for a terminal, JSON for programs."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.terminal.colours import HEAD, paint
from pipeline.terminal.escapes import escape, escape_json, escape_lines

# A column of text is never cut to fewer columns of the terminal than this.
_MIN_WIDTH = 12
# A UUID has 36 characters.
_ID_WIDTH = 40


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout; characters that act on a terminal are shown as escapes."""
    for line in lines:
        sys.stdout.write(f"{escape_lines(line)}\n")
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print one JSON value on stdout."""
    print_lines([to_json(value, indent=2)])


def to_json(value: object, indent: int | None = None) -> str:
    r"""JSON text in which characters that act on a terminal are written as \u...."""
    return escape_json(json.dumps(value, ensure_ascii=False, indent=indent))


def score_text(score: float | None) -> str:
    """A score as tables show it; a dash for what fills a list and has none."""
    return "-" if score is None else f"{score:.3f}"


def terminal_width() -> int | None:
    """The terminal's width in columns; None if stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def display_width(text: str) -> int:
    """The columns of a terminal that a text takes: 2 for a full-width character, 0 for a mark."""
    if text.isascii():
        return len(text)
    import wcwidth

    return wcwidth.width(text)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: str = "",
    cut: str = "",
    styles: Mapping[str, Callable[[str], str]] | None = None,
) -> list[str]:
    """Lines of a table with aligned columns, the head first.

    Args:
        head: names of the columns.
        rows: one value for each column.
        right: names of the right-aligned columns, separated by spaces.
        cut: name of the column that is shortened if the terminal is too narrow.
        styles: functions from a value to its style (pipeline.terminal.colours), by column name.
    """
    lines = [head, *(tuple(map(escape, row)) for row in rows)]
    widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    available = terminal_width()
    if cut and available is not None:
        index = list(head).index(cut)
        excess = sum(widths) + 2 * (len(head) - 1) - available
        widths[index] = max(min(_MIN_WIDTH, widths[index]), widths[index] - max(0, excess))
    right_aligned, styles = right.split(), styles or {}
    aligned = []
    for number, line in enumerate(lines):
        cells = []
        for name, value, width in zip(head, line, widths, strict=True):
            text = shorten(value, width) if name == cut else value
            style = HEAD if number == 0 else styles[name](value) if name in styles else ""
            painted, padding = paint(text, style), " " * (width - display_width(text))
            cells.append(padding + painted if name in right_aligned else painted + padding)
        aligned.append("  ".join(cells).rstrip())
    return aligned


def shorten(text: str | None, max_width: int = 60) -> str:
    """A text on one line, with control characters escaped, cut to a number of terminal columns."""
    line = escape(" ".join((text or "").split()))
    return _clip(line, max_width)


def short_id(item_id: str) -> str:
    """An id for a line or a table, escaped and cut; JSON output has the whole of it."""
    return _clip(escape(item_id), _ID_WIDTH)


def _clip(line: str, max_width: int) -> str:
    if display_width(line) <= max_width:
        return line
    import wcwidth

    return f"{wcwidth.clip(line, 0, max_width - 1).rstrip()}…"


def fit_title(text: str | None, indent: int, max_width: int = 60) -> str:
    """A text at the end of a line, cut to the columns that the terminal has left there.

    Args:
        text: an item's title.
        indent: columns before the text.
        max_width: columns that the text may take.
    """
    available = terminal_width()
    if available is not None:
        max_width = max(_MIN_WIDTH, min(max_width, available - indent))
    return shorten(text, max_width)


def format_bytes(count: int) -> str:
    """A number of bytes with a unit of powers of 1000: 1.5 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
