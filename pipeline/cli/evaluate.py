"""The verb `evaluate`: measure the neighbours by labels and pairs, beside plainer methods."""

from argparse import Namespace

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.errors import UsageError
from pipeline.evaluation import pairs_file, report
from pipeline.evaluation.evaluate import DEFAULT_ITEMS, EvaluationRequest, evaluate
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--label", action="append", default=[], metavar="COLUMN",
                        help="a column of the catalogue's files; items with equal values count as "
                        "alike; may be repeated")  # fmt: skip
    parser.add_argument("--pairs", metavar="FILE",
                        help="a CSV file with columns a and b, item ids, and match, "
                        "1 or 0")  # fmt: skip
    parser.add_argument("--k", type=positive, default=10, metavar="K",
                        help="number of nearest items that count; default: 10")  # fmt: skip
    parser.add_argument("--items", type=positive, default=DEFAULT_ITEMS, metavar="N",
                        help="measure on N items at most: those of the pairs, then a sample; "
                        f"default: {DEFAULT_ITEMS:,}")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Measure, and print the figures."""
    config = reading.load(arguments.config, arguments.assignments)
    if not arguments.label and not arguments.pairs:
        raise UsageError("evaluate: give --label COLUMN, --pairs FILE, or both")
    pairs = pairs_file.read(arguments.pairs) if arguments.pairs else None
    labels = tuple(dict.fromkeys(arguments.label))
    options = EvaluationRequest(labels, pairs, arguments.k, arguments.items)
    evaluation = evaluate(config, options, Progress())
    if arguments.json:
        print_json(report.as_json(evaluation))
    else:
        print_lines(report.lines(evaluation))
