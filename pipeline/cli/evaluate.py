"""The verb `evaluate`: how good neighbours are by labels and pairs, beside plainer methods."""

import argparse

from pipeline.cli.verb import Verb, positive
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.evaluation import pairs_file, report
from pipeline.evaluation.evaluate import ITEMS, Asked, evaluate
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", action="append", default=[], metavar="COLUMN",
                        help="a column of the catalogue's files whose equal values say that items "
                        "are alike; may be repeated")  # fmt: skip
    parser.add_argument("--pairs", metavar="FILE",
                        help="a CSV file with columns a and b, item ids, and match, "
                        "1 or 0")  # fmt: skip
    parser.add_argument("--k", type=positive, default=10, metavar="K",
                        help="of the K nearest items; 10 if not given")  # fmt: skip
    parser.add_argument("--items", type=positive, default=ITEMS, metavar="N",
                        help=f"measure on N items at most; {ITEMS:,} if not given. A larger "
                        "catalogue is sampled, after the items of the pairs")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    if not given.label and not given.pairs:
        raise UsageError("evaluate: give --label COLUMN, --pairs FILE, or both")
    pairs = pairs_file.read(given.pairs) if given.pairs else None
    asked = Asked(tuple(dict.fromkeys(given.label)), pairs, given.k, given.items)
    found = evaluate(settings, asked, Progress())
    if given.json:
        print_json(report.as_json(found))
    else:
        print_lines(report.lines(found))


EVALUATE = Verb(
    "evaluate",
    "measure how good neighbours are by labels or pairs, beside plainer methods",
    "--label category --set model.dim=200",
    _arguments,
    _do,
)
