"""The verb `inspect`: one item, its neighbours, and why."""

from argparse import Namespace

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.inspection import describe
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query.errors import user_errors
from pipeline.query.published import Published
from pipeline.query.skip_pandas import skip_pandas
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("item", metavar="ITEM", help="an item_id")
    parser.add_argument("--why-not", metavar="OTHER",
                        help="explain why that item is not among the neighbours")  # fmt: skip
    parser.add_argument("--version", default="LATEST", metavar="RUN_OR_VERSION",
                        help="a run or a version; default: LATEST")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Print one item, its neighbours and the reasons."""
    config = reading.load(arguments.config, arguments.assignments)
    skip_pandas()
    published = Published.of(Store.of(config, make=False), arguments.version)
    with user_errors(published):
        inspection = Inspector(VersionTables(published)).inspect(arguments.item, arguments.why_not)
    if arguments.json:
        print_json(describe.as_json(inspection, published))
    else:
        print_lines(describe.lines(inspection, published))
