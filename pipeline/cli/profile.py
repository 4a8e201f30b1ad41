"""The verb `profile`: what a catalogue has, and limits for [expect]."""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from pipeline import catalogue
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.spark.reading_session import reading_session
from pipeline.stages.ingest import suggestions
from pipeline.stages.ingest.measurement import measure
from pipeline.terminal.output import print_json, print_lines, table
from pipeline.terminal.progress import Progress


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--date", default="", metavar="DATE",
                        help="the night that {date} in catalogue.path or .query stands for, "
                        "YYYY-MM-DD; default: today")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Count what the catalogue has, and print it with suggested limits."""
    config = reading.load(arguments.config, arguments.assignments)
    config = catalogue.resolve(config, arguments.date, 0.0, Progress().print)
    with reading_session(config, "profile") as spark:
        counts = measure(spark, config)
    limits = suggestions.suggest(counts)
    if arguments.json:
        print_json(counts | {"expect": suggestions.as_settings(limits)})
    else:
        print_lines(_lines(counts, catalogue.source_of(config).label))
        print_lines(["", *suggestions.as_toml(limits)])


def _lines(counts: dict[str, Any], label: str) -> Iterator[str]:
    reasons = ", ".join(f"{name} {count:,}" for name, count in counts["quarantine_reasons"].items())
    yield f"{label}"
    yield (
        f"{counts['rows_read']:,} rows read, {counts['items']:,} items, "
        f"{counts['quarantined']:,} in quarantine{f' ({reasons})' if reasons else ''}"
    )
    profile, items = counts["profile"], counts["items"]
    if profile["letters"]:
        share = profile["japanese_letters"] / profile["letters"]
        yield f"{share:.1%} of the letters of titles are kana or kanji"
    yield ""
    rows = [
        (
            name,
            f"{100 * found['null'] / items:.3g}%",
            f"{found['distinct']:,}" if "distinct" in found else "",
            f"{found['longest']:,}" if "longest" in found else "",
        )
        for name, found in profile["columns"].items()
    ]
    yield from table(("column", "empty", "values", "longest"), rows, right="empty values longest")
