"""Colours on a terminal, and nowhere else.

NO_COLOR (no-color.org) turns them off. FORCE_COLOR or CLICOLOR_FORCE turns them on, also in a pipe.
JSON output never has colours.
"""

import os
import sys
from typing import TextIO

from pipeline.terminal.escapes import escape

# Styles as a terminal's escape codes (ECMA-48, SGR).
GOOD, BAD, WARNING, DIM, HEAD = "32", "31", "33", "2", "1"

# The style of a run's status.
STATUS = {
    "published": GOOD,
    "held_back": BAD,
    "failed": BAD,
    "died": WARNING,
    "running": HEAD,
    "done": "",
}


def colours_enabled(stream: TextIO) -> bool:
    """Whether text written to a stream gets colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(n, "0") not in ("", "0") for n in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """A text in a style, if the stream gets colours; what acts on a terminal is escaped.

    Args:
        text: one line.
        style: one of this module's styles; empty for none.
        stream: the stream it will be written to; None for stdout.
    """
    text = escape(text)
    if not style or not text or not colours_enabled(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"
