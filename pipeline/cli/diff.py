"""The verb `diff`: what changed between two versions of the similar-item table."""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.inspection.diff import diff
from pipeline.spark.reading_session import reading_session
from pipeline.store.resolve import resolve
from pipeline.store.store import Store
from pipeline.terminal.colours import BAD, GOOD, HEAD, paint
from pipeline.terminal.output import display_width, fit_title, print_json, print_lines, short_id

# Ranks of which neighbours are printed even if both lists have them.
_TOP = 5


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("before", metavar="A", help="a run, a version, or LATEST")
    parser.add_argument("after", metavar="B", help="the run or version to compare it with")
    parser.add_argument("--k", type=positive, metavar="K",
                        help="compare the first K neighbours; default: neighbors.k")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Compare two versions."""
    config = reading.load(arguments.config, arguments.assignments)
    store = Store.of(config, make=False)
    before, after = (
        resolve(store, name, with_table=True) for name in (arguments.before, arguments.after)
    )
    with reading_session(config, f"diff {arguments.before} {arguments.after}") as spark:
        changes = diff(spark, store, before, after, arguments.k or config.neighbors.k)
    if arguments.json:
        print_json(changes)
    else:
        print_lines(lines(changes))


def lines(changes: dict[str, Any]) -> Iterator[str]:
    """The changes for a person: totals, settings, and the items that changed most."""
    for name in ("before", "after"):
        yield f"{name:<12}{changes[name]['version']}  run {changes[name]['run_id'] or 'unknown'}"
    yield (
        f"items       {changes['items_before']:,} before, {changes['items_after']:,} after: "
        f"{changes['added']:,} added, {changes['gone']:,} gone, {changes['common']:,} in both"
    )
    if changes["common"]:
        yield (
            f"lists       {changes['changed']:,} of {changes['common']:,} changed; "
            f"mean overlap of the top {changes['k']} {changes['mean_overlap']:.4f}; "
            f"mean score {_signed(changes['score_shift'])}"
        )
    for setting in changes["settings"]:
        yield f"setting     {setting['setting']}: {setting['before']!r} -> {setting['after']!r}"
    for item in changes["most_changed"]:
        yield ""
        name = short_id(item["item_id"])
        yield f"{paint(name, HEAD)}  {fit_title(item['title'], display_width(name) + 2)}"
        yield f"  overlap {item['overlap']:.2f}, mean score {_signed(item['score_shift'])}"
        yield from _list_lines(item)


def _signed(value: float) -> str:
    """A number with its sign; one that is rounded to 0 has a plus."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _list_lines(item: dict[str, Any]) -> Iterator[str]:
    """Both lists of an item: the top, and the neighbours that only one of the lists has."""
    for sign, name, other in (("-", "before", "after"), ("+", "after", "before")):
        other_ids = {entry["similar_id"] for entry in item[other]}
        for rank, entry in enumerate(item[name], 1):
            if rank <= _TOP or entry["similar_id"] not in other_ids:
                mark = " " if entry["similar_id"] in other_ids else sign
                similar = short_id(entry["similar_id"])
                start = f"  {name:<6} {mark} {rank:>2}  {entry['score']:.3f}  {similar}  "
                title = fit_title(entry["title"], display_width(start), 40)
                yield paint(f"{start}{title}", {"-": BAD, "+": GOOD}.get(mark, ""))
