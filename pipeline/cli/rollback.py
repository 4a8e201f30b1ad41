"""The verb `rollback`: publish an earlier version again."""

from argparse import Namespace
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.export import catalog_publication, catalog_table
from pipeline.spark.reading_session import reading_session
from pipeline.stages.train import model_registry
from pipeline.store import lock, publications
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.output import table as text_table
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("version", nargs="?", metavar="VERSION",
                        help="a version that was published, or its run; default: the version "
                        "published before the present one")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Publish an earlier version, and make its model the current one."""
    config = reading.load(arguments.config, arguments.assignments)
    store = Store.of(config, make=False)
    store.print_line = Progress().print
    with ExitStack() as stack:
        stack.enter_context(lock.hold_store(store, "nitamono rollback", wait=arguments.wait))

        @cache
        def spark() -> "SparkSession":
            return stack.enter_context(reading_session(config, "rollback"))

        finished = catalog_publication.finish_pending(store, spark)
        table = catalog_table.of_config(config)
        names = (None, finished.version, finished.run_id) if finished else ()
        if finished and finished.is_rollback and arguments.version in names:
            # This rollback was asked for before, and broken off.
            was, now = publications.entries(store)[-2:]
        elif table is None:
            was, now = rollback(store, arguments.version)
        else:
            was, now = catalog_publication.rollback_both(store, table, spark(), arguments.version)
        model_registry.restore_current(store, now.stages.get("train", ""))
    if arguments.json:
        print_json({"was": asdict(was), "now": asdict(now)})
        return
    rows = [
        (name, entry.version, entry.run_id, entry.time[:19].replace("T", " "))
        for name, entry in (("was", was), ("now", now))
    ]
    print_lines(text_table(("", "version", "run", "published (UTC)"), rows))
