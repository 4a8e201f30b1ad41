"""The verb `doctor`: whether a first night has what it needs."""

from argparse import Namespace
from dataclasses import asdict

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.cluster.doctor import examination
from pipeline.cluster.doctor.finding import BAD, OK, SKIPPED
from pipeline.config import reading
from pipeline.errors import UsageError
from pipeline.terminal.colours import BAD as RED
from pipeline.terminal.colours import GOOD, WARNING, paint
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

_STYLES = {OK: GOOD, BAD: RED, SKIPPED: WARNING}


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--items", type=positive, default=0, metavar="N",
                        help="how many items the catalogue has, for the memory plan; default: as "
                        "many as the store's, or a guess from the size of the files")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Look, and print a line for each check.

    Raises:
        UsageError: something is not well.
    """
    config = reading.load(arguments.config, arguments.assignments)
    with Progress().stage("doctor") as line:
        findings = examination.examine(config, line, arguments.items)
    if arguments.json:
        print_json({"checks": [asdict(finding) for finding in findings]})
    else:
        print_lines(
            f"{paint(f'{one.state:<7}', _STYLES[one.state])}  {one.name:<11}  {one.text}"
            for one in findings
        )
    if bad := examination.problems(findings):
        raise UsageError(
            f"doctor: not well: {', '.join(bad)}; what to do stands on the lines above, and "
            "nothing was changed"
        )
