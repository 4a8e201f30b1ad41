"""The verb `completion`: a script with which a shell completes verbs, options, files, settings."""

import argparse
from argparse import Namespace
from collections.abc import Iterator

import shtab
from pydantic import BaseModel

from pipeline.cli.parser import Parser, build_parser
from pipeline.config.sections import Config
from pipeline.terminal.output import print_lines

SHELLS = ("bash", "zsh", "fish")
# What an argument stands for, by the name that the help gives to its value.
_FILES = {"FILE"}
_FOLDERS = {"DIR", "FOLDER", "TARGET", "SOURCE"}
_FUNCTION = "_nitamono_settings"


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shell", choices=SHELLS, help="which shell")


def execute(arguments: Namespace) -> None:
    """Print the script."""
    print_lines([script(build_parser(), arguments.shell)])


def script(parser: Parser, shell: str) -> str:
    """The script for a shell, made from the parsers.

    Args:
        parser: the parser of the command line.
        shell: one of SHELLS.
    """
    for subparser in all_parsers(parser):
        for action in subparser.actions:
            if action.help == argparse.SUPPRESS:
                # shtab leaves out what the help leaves out.
                action.help = None
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest == "assignments":
                action.complete = _setting_completion()  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def all_parsers(parser: Parser) -> Iterator[Parser]:
    """A parser, those of its verbs, those of the verbs' verbs, and so on."""
    yield parser
    for subparser in parser.subparsers():
        yield from all_parsers(subparser)


def _setting_completion() -> dict[str, object]:
    """Shtab's description of how each shell completes a setting's name."""
    names = " ".join(_setting_names())
    return {
        "bash": _FUNCTION,
        "zsh": _FUNCTION,
        "fish": f"({_FUNCTION})",
        "preamble": {
            "bash": f'{_FUNCTION}() {{ compgen -W "{names}" -- "$1"; }}',
            "zsh": f"{_FUNCTION}() {{ compadd -S '=' -- {names}; }}",
            "fish": f"function {_FUNCTION}; printf '%s\\n' {names}; end",
        },
    }


def _setting_names() -> Iterator[str]:
    """The settings' names, section.key."""
    for section, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{section}.{name}" for name in kind.model_fields)
