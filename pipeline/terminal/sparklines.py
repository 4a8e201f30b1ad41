"""Sparklines: a series of numbers as one line of small bars."""

import sys
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
# For terminals whose encoding has no bars.
_PLAIN_BARS = "_.,-=+*#"


def sparkline(values: Sequence[float | None]) -> str:
    """One bar for each value, from the lowest to the greatest of them; a space where there is none.

    Where all values are the same, the bars have half of the height.
    """
    present = [value for value in values if value is not None]
    low, high = min(present, default=0.0), max(present, default=0.0)
    bars = _bars()

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        share = (value - low) / (high - low) if high > low else 0.5
        return bars[min(int(share * len(bars)), len(bars) - 1)]

    return "".join(map(bar, values))


def _bars() -> str:
    try:
        _BARS.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return _PLAIN_BARS
    return _BARS
