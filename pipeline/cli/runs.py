"""The verb `runs`: a table of the store's runs."""

from argparse import Namespace
from collections.abc import Sequence

from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.store import run_records
from pipeline.store.run_records import Run
from pipeline.store.store import Store
from pipeline.terminal.colours import DIM, GOOD, STATUS
from pipeline.terminal.output import print_json, print_lines, table

_NONE = "-"


def add_arguments(_parser: Parser) -> None:
    """The verb has no arguments of its own."""


def execute(arguments: Namespace) -> None:
    """List the runs, the newest first."""
    config = reading.load(arguments.config, arguments.assignments)
    runs = run_records.list_runs(Store.of(config, make=False))
    if arguments.json:
        print_json([run.shown() for run in runs])
    else:
        print_lines(lines(runs))


def lines(runs: Sequence[Run]) -> list[str]:
    """The table of the runs, newest first, and below it the message of the newest."""
    if not runs:
        return ["no run yet"]
    rows = [
        (
            run.run_id,
            run.started[:19].replace("T", " "),
            f"{run.seconds:,.0f}",
            run.status,
            _NONE if run.items is None else f"{run.items:,}",
            _NONE if run.recall is None else f"{run.recall:.4f}",
            run.version or _NONE,
            "LATEST" if run.latest else "deleted" if run.version and not run.kept else "",
        )
        for run in runs
    ]
    head = ("run", "started (UTC)", "seconds", "status", "items", "recall", "version", "")
    styles = {
        "status": lambda status: STATUS.get(status, ""),
        "": lambda mark: GOOD if mark == "LATEST" else DIM,
    }
    newest = runs[0]
    message = ["", f"{newest.run_id}: {newest.message}"] if newest.message else []
    return table(head, rows, right="seconds items recall", styles=styles) + message
