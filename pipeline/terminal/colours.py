"""Colours on a terminal, and nowhere else.

NO_COLOR (no-color.org) turns them off, FORCE_COLOR or CLICOLOR_FORCE on, in a pipe too; JSON never
has any.
"""

import os
import sys
from typing import TextIO

# Styles, as a terminal knows them (ECMA-48, SGR).
GOOD, BAD, ODD, DIM, HEAD = "32", "31", "33", "2", "1"

# What a run came to.
STATUS = {
    "published": GOOD,
    "held_back": BAD,
    "failed": BAD,
    "died": ODD,
    "running": HEAD,
    "done": "",
}


def wanted(stream: TextIO) -> bool:
    """Whether a stream is to have colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(n, "0") not in ("", "0") for n in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """A text in a style, where the stream is to have colours.

    Args:
        text: of one line.
        style: one of the above; empty for none.
        stream: where it will be written; None for stdout.
    """
    if not style or not text or not wanted(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"
