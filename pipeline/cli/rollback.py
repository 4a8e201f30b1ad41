"""The verb `rollback`: publish an earlier version again."""

from argparse import Namespace
from dataclasses import asdict

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.stages.train import model_registry
from pipeline.store import lock
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines, table


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("version", nargs="?", metavar="VERSION",
                        help="a version that was published, or its run; default: the version "
                        "published before the present one")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Publish an earlier version, and make its model the current one."""
    store = Store.of(reading.load(arguments.config, arguments.assignments), make=False)
    with lock.hold_store(store, "nitamono rollback", wait=arguments.wait):
        was, now = rollback(store, arguments.version)
        model_registry.restore_current(store, now.stages.get("train", ""))
    if arguments.json:
        print_json({"was": asdict(was), "now": asdict(now)})
        return
    rows = [
        (name, entry.version, entry.run_id, entry.time[:19].replace("T", " "))
        for name, entry in (("was", was), ("now", now))
    ]
    print_lines(table(("", "version", "run", "published (UTC)"), rows))
