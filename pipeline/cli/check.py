"""The verb `check`: read all that a version needs, and say what is damaged."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.errors import DamagedError
from pipeline.store import check
from pipeline.store.check import Checked
from pipeline.store.file_list import REMEDY
from pipeline.store.names import LATEST
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines, table


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("version", nargs="?", default=LATEST, metavar="VERSION",
                        help="a version or a run; default: LATEST")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Check a version.

    Raises:
        DamagedError: something of it is damaged.
    """
    store = Store.of(reading.load(arguments.config, arguments.assignments), make=False)
    version = check.find_version(store, arguments.version)
    parts = list(check.check(version))
    damaged = [part for part in parts if part.status == check.DAMAGED]
    if arguments.json:
        print_json({**version.shown(), "parts": [asdict(part) for part in parts]})
    else:
        print_lines(_lines(parts))
    if damaged:
        raise DamagedError(f"damaged parts: {len(damaged)} of {len(parts)}", REMEDY)
    if not arguments.json:
        print_lines([f"version {version.version}: its {len(parts)} parts are whole"])


def _lines(parts: Iterable[Checked]) -> list[str]:
    rows = [(part.stage, part.part, part.status, part.problem or part.path) for part in parts]
    return table(("stage", "part", "status", "where"), rows)
