"""The verb `evaluate`: measure the neighbours by labels, pairs and answers by hand."""

import getpass
from argparse import Namespace
from pathlib import Path

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.errors import UsageError
from pipeline.evaluation import pairs_file, report, report_json
from pipeline.evaluation.answers import Answers
from pipeline.evaluation.evaluate import evaluate
from pipeline.evaluation.groups import Group
from pipeline.evaluation.request import DEFAULT_ITEMS, EvaluationRequest
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

_K, _K_OF_JUDGE, _ASK = 10, 3, 100


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--label", action="append", default=[], metavar="COLUMN",
                        help="a column of the catalogue; items with equal values count as "
                        "alike; may be repeated")  # fmt: skip
    parser.add_argument("--pairs", metavar="FILE",
                        help="a CSV file with columns a and b, item ids, and match, "
                        "1 or 0")  # fmt: skip
    parser.add_argument("--group", action="append", default=[], metavar="GROUP",
                        help="measure groups of items too: by a column of the catalogue, by length "
                        "(quarters by the number of tokens), or by new (items that the published "
                        "catalogue lacks; new:RUN: that of another run); may be "
                        "repeated")  # fmt: skip
    parser.add_argument("--against", metavar="CONFIG",
                        help="another config of the same catalogue to compare with, instead of the "
                        "plain methods; --set changes the first config only")  # fmt: skip
    parser.add_argument("--judge", metavar="FILE",
                        help="show pairs of items and ask whether they are similar; the answers "
                        "are kept in this CSV file, which later calls continue")  # fmt: skip
    parser.add_argument("--judge-name", metavar="NAME",
                        help="the name of who answers; default: the login name")  # fmt: skip
    parser.add_argument("--ask", type=_count, default=_ASK, metavar="N",
                        help="show N pairs at most; 0: score the answers that there are; "
                        f"default: {_ASK}")  # fmt: skip
    parser.add_argument("--k", type=positive, metavar="K",
                        help=f"number of nearest items that count; default: {_K}, with --judge "
                        f"{_K_OF_JUDGE}")  # fmt: skip
    parser.add_argument("--items", type=positive, default=DEFAULT_ITEMS, metavar="N",
                        help="measure on N items at most: those of the pairs and answers, then a "
                        f"sample; default: {DEFAULT_ITEMS:,}")  # fmt: skip


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _login_name() -> str:
    try:
        return getpass.getuser()
    # A container may give a process a user that has no name.
    except (ImportError, KeyError, OSError) as error:
        raise UsageError("evaluate: this user has no login name; give --judge-name NAME") from error


def execute(arguments: Namespace) -> None:
    """Measure, and print the figures."""
    config = reading.load(arguments.config, arguments.assignments)
    if not arguments.label and not arguments.pairs and not arguments.judge:
        raise UsageError("evaluate: give --label COLUMN, --pairs FILE, or both; or --judge FILE")
    if arguments.group and not (arguments.label or arguments.pairs):
        raise UsageError("evaluate: --group tells figures apart: give --label or --pairs too")
    if arguments.judge_name and not arguments.judge:
        raise UsageError("evaluate: --judge-name is the name of who answers: give --judge FILE too")
    if arguments.against and not Path(arguments.against).is_file():
        raise UsageError(f"--against {arguments.against}: no such file; it is another config")
    against = reading.load(arguments.against, []) if arguments.against else None
    answers = None
    if arguments.judge:
        answers = Answers(arguments.judge, arguments.judge_name or _login_name())
    request = EvaluationRequest(
        labels=tuple(dict.fromkeys(arguments.label)),
        pairs=pairs_file.read(arguments.pairs) if arguments.pairs else None,
        k=arguments.k or (_K_OF_JUDGE if arguments.judge else _K),
        items=arguments.items,
        groups=tuple(map(Group.of, dict.fromkeys(arguments.group))),
        answers=answers,
        ask=arguments.ask,
    )
    evaluation = evaluate(config, request, Progress(), against)
    if arguments.json:
        print_json(report_json.as_json(evaluation))
    else:
        print_lines(report.lines(evaluation))
