"""What verbs of the command line are made of."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pipeline.config.sections import Config


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        name: how it is called.
        text: what it does, in one line.
        example: of its arguments.
        arguments: adds those that it has of its own.
        do: does what the arguments say.
        needs_config: whether --config must be given; else the defaults hold without it.
        group: what it is for, for the command's help: make, look, keep, cluster or shell.
    """

    name: str
    text: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    do: Callable[[argparse.Namespace, Config], None]
    needs_config: bool = True
    group: str = "look"


def seconds(text: str) -> float:
    """A number of seconds on the command line.

    Raises:
        ArgumentTypeError: it is none.
    """
    with suppress(ValueError):
        number = float(text)
        if 0 <= number < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"{text}: write a number of seconds, 60 for instance")


def positive(text: str) -> int:
    """A number from 1 on, on the command line.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return number
