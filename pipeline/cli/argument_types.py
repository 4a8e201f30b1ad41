"""Types of arguments' values."""

import argparse
from contextlib import suppress


def seconds(text: str) -> float:
    """A number of seconds, 0 or more.

    Raises:
        ArgumentTypeError: the text is no such number.
    """
    with suppress(ValueError):
        number = float(text)
        if 0 <= number < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"{text}: write a number of seconds, 60 for instance")


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        ArgumentTypeError: the text is no such number.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return number
