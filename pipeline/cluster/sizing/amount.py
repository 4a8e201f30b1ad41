"""Amounts of memory: read as Spark reads them, 64g being 64 x 1024 MiB, and shown."""

import argparse
import re

MIB = 1 << 20
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse(text: str, unit: str = "b") -> float:
    """MiB of an amount such as 64g, 64GB, 65536m, 1.5t.

    Args:
        text: the amount.
        unit: of a number without one.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", text.strip().lower())
    if not found:
        raise ValueError(f"{text} is no amount of memory; write 64g or 65536m")
    return float(found[1]) * _UNITS[found[2] or unit] / MIB


def memory(text: str) -> float:
    """MiB of an amount on the command line, above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        found = parse(text, "g")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no amount of memory above 0")
    return found


def shown(mib: float) -> str:
    """An amount as it is read."""
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def spark(mib: float) -> str:
    """An amount as Spark takes it, rounded up to a MiB."""
    return f"{-int(-mib // 1)}m"
