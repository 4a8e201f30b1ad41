"""The verb `inspect`: one item, its neighbours, and why."""

import argparse

from pipeline.cli.verb import Verb
from pipeline.config.sections import Config
from pipeline.query.start import skip_pandas
from pipeline.terminal.output import print_json, print_lines


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", metavar="ITEM", help="an item_id")
    parser.add_argument("--why-not", metavar="OTHER",
                        help="say why that item is not among the neighbours")  # fmt: skip
    parser.add_argument("--version", default="LATEST", metavar="RUN_OR_VERSION",
                        help="of which version; LATEST if not given")  # fmt: skip


def _do(given: argparse.Namespace, settings: Config) -> None:
    skip_pandas()
    from pipeline.inspection import describe
    from pipeline.inspection.inspect import Inspector
    from pipeline.inspection.version_tables import VersionTables
    from pipeline.query.errors import user_errors
    from pipeline.query.published import Published
    from pipeline.store.store import Store

    published = Published.of(Store.of(settings, make=False), given.version)
    with user_errors(published):
        inspection = Inspector(VersionTables(published)).inspect(given.item, given.why_not)
    if given.json:
        print_json(describe.as_json(inspection, published))
    else:
        print_lines(describe.lines(inspection, published))


INSPECT = Verb(
    "inspect",
    "look at one item: its tokens, its neighbours and why they are, what rules removed",
    "SKU-00332 --why-not SKU-01000",
    _arguments,
    _do,
)
