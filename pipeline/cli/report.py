"""The verb `report`: write a run's page again, or the store's."""

from argparse import Namespace
from pathlib import Path
from types import ModuleType

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.errors import UsageError
from pipeline.report import run_page, store_page
from pipeline.storage.files import write_atomic
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", nargs="?", default="LATEST", metavar="RUN",
                        help="a run; default: LATEST, the run that is published now")  # fmt: skip
    parser.add_argument("--store", action="store_true",
                        help="the page of the store, store.html: its last runs, night by "
                        "night")  # fmt: skip
    parser.add_argument("--out", metavar="FILE",
                        help="write the page to this file, not to its place")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Write a page, or print its data."""
    config = reading.load(arguments.config, arguments.assignments)
    store = Store.of(config, make=False)
    page: ModuleType = store_page if arguments.store else run_page
    which = () if arguments.store else (_run_id(store, arguments.run), config.report.map_items)
    if arguments.json:
        print_json(page.page_data(store, *which))
        return
    if arguments.out is None:
        print_lines([str(page.write(store, *which))])
        return
    content = page.html(page.page_data(store, *which))
    try:
        write_atomic(Path(arguments.out), content)
    except OSError as error:
        raise UsageError(f"--out {arguments.out}: can't be written: {error.strerror}") from error
    print_lines([arguments.out])


def _run_id(store: Store, name: str) -> str:
    """The run that a name stands for; LATEST is the run published now."""
    if name != "LATEST":
        return name
    latest = store.latest()
    if latest is None:
        raise UsageError(
            f"nothing is published in {store.root}; name a run: nitamono runs lists them"
        )
    return latest["run_id"]
