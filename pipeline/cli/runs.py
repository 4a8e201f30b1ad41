"""The verb `runs`: a table of the store's runs, and small charts of the last ones."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.report import trends
from pipeline.report.trends import Figures
from pipeline.store import run_records
from pipeline.store.run_records import Run
from pipeline.store.store import Store
from pipeline.terminal.colours import DIM, GOOD, HEAD, STATUS, paint
from pipeline.terminal.output import format_bytes, print_json, print_lines, table, terminal_width
from pipeline.terminal.sparklines import sparkline

_NONE = "-"
# What stands for a night in the charts' first line.
_MARKS = {
    run_records.PUBLISHED: ".",
    run_records.HELD_BACK: "!",
    run_records.FAILED: "x",
    run_records.DIED: "x",
    run_records.RUNNING: ">",
}
_LEGEND = ". published  ! held back  x failed or died  > running"
# Columns beside a chart: its name, and its numbers.
_NAME_WIDTH, _NUMBERS_WIDTH = 12, 42
_DEFAULT_WIDTH = 132


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--last", type=positive, metavar="N",
                        help="list the last N runs only, with a small chart of each "
                        "figure")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """List the runs, the newest first."""
    config = reading.load(arguments.config, arguments.assignments)
    runs = run_records.list_runs(Store.of(config, make=False), last=arguments.last)
    if arguments.json and arguments.last:
        print_json([run.shown() | trends.shown(trends.figures(run)) for run in runs])
    elif arguments.json:
        print_json([run.shown() for run in runs])
    elif arguments.last:
        nights = [trends.figures(run) for run in reversed(runs)]
        print_lines([*lines(runs), *charts([one for one in nights if not one.is_experiment])])
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


def charts(nights: Sequence[Figures]) -> Iterator[str]:
    """A line for each figure: its name, a bar for each night, its least, greatest and last value.

    Args:
        nights: the nights, the oldest first. If there is no room for all, the newest are shown.
    """
    room = (terminal_width() or _DEFAULT_WIDTH) - _NAME_WIDTH - _NUMBERS_WIDTH
    nights = nights[-max(room, 1) :]
    if not nights:
        return
    yield ""
    yield (
        paint(f"{'night':<{_NAME_WIDTH}}", HEAD)
        + "".join(
            paint(_MARKS.get(night.status, "?"), STATUS.get(night.status, "")) for night in nights
        )
        + paint(f"  {_LEGEND}", DIM)
    )
    for field, form in _FORMS.items():
        name = _NAMES.get(field, field)
        values = [getattr(night, field) for night in nights]
        present = [value for value in values if value is not None]
        if present:
            low, high, last = form(min(present)), form(max(present)), form(present[-1])
            between = low if low == high else f"{low} to {high}, last {last}"
            yield f"{name:<{_NAME_WIDTH}}{sparkline(values)}  {between}"


def _recall(value: float) -> str:
    return f"{value:.4f}"


def _share(value: float) -> str:
    return f"{value:.2%}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _size(value: float) -> str:
    return format_bytes(round(value))


# The figures that have a chart, and how their numbers are written.
_FORMS: dict[str, Callable[[float], str]] = {
    "recall": _recall,
    "churn": _share,
    "coverage": _share,
    "quarantined": _share,
    "items": _whole,
    "rows": _whole,
    "table_bytes": _size,
    "written_bytes": _size,
    "seconds": _whole,
}
_NAMES = {"table_bytes": "table", "written_bytes": "written"}
