"""Memory sizes: parse them as Spark does (64g is 64 x 1024 MiB), and format them."""

import argparse
import re

MIB = 1 << 20
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse(text: str, default_unit: str = "b") -> float:
    """Parse a size such as 64g, 64GB, 65536m or 1.5t.

    Args:
        text: the size.
        default_unit: the unit of a number that has none.

    Returns:
        MiB.

    Raises:
        ValueError: the text is no memory size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise ValueError(f"{text} is no amount of memory; write 64g or 65536m")
    return float(match[1]) * _UNITS[match[2] or default_unit] / MIB


def argument(text: str) -> float:
    """Parse a size above 0 that was given on the command line; a plain number means GiB.

    Returns:
        MiB.

    Raises:
        ArgumentTypeError: the text is no memory size, or 0.
    """
    try:
        mib = parse(text, "g")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if mib <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no amount of memory above 0")
    return mib


def readable(mib: float) -> str:
    """Format a size for people."""
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def spark_value(mib: float) -> str:
    """Format a size as a value of Spark's settings, rounded up to a whole MiB."""
    return f"{-int(-mib // 1)}m"
