"""The verb `completion`: a script that lets a shell complete verbs, options, files and settings."""

import argparse
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pipeline.config.sections import Config

NAME = "completion"
SHELLS = ("bash", "zsh", "fish")
_TEXT = "print a script for the shell to complete nitamono's arguments"
_FILES = {"FILE"}
_FOLDERS = {"DIR", "FOLDER", "TARGET", "SOURCE"}
_SETTINGS = "_nitamono_settings"


def add(verbs: Any) -> None:  # noqa: ANN401 - argparse's subparsers
    """Add the verb to the command's parser."""
    verb = verbs.add_parser(
        NAME,
        help=_TEXT,
        description=_TEXT[0].upper() + _TEXT[1:] + ".",
        epilog=f"example: nitamono {NAME} bash",
    )
    verb.add_argument("shell", choices=SHELLS, help="which shell")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell, from the parsers themselves.

    Args:
        parser: of the command line.
        shell: one of SHELLS.
    """
    import shtab

    for one in parsers(parser):
        for action in one._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest == "assignments":
                action.complete = _settings()  # type: ignore[attr-defined]
    made: str = shtab.complete(parser, shell)
    return made


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its verbs, their verbs', and so on."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def _settings() -> dict[str, Any]:
    """What completes the settings' names, for shtab."""
    names = " ".join(_names())
    return {
        "bash": _SETTINGS,
        "zsh": _SETTINGS,
        "fish": f"({_SETTINGS})",
        "preamble": {
            "bash": f'{_SETTINGS}() {{ compgen -W "{names}" -- "$1"; }}',
            "zsh": f"{_SETTINGS}() {{ compadd -S '=' -- {names}; }}",
            "fish": f"function {_SETTINGS}; printf '%s\\n' {names}; end",
        },
    }


def _names() -> Iterator[str]:
    for section, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{section}.{name}" for name in kind.model_fields)
