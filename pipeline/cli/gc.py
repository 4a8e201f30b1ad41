"""The verb `gc`: delete what no published version and no running run needs."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.cli.argument_types import positive
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.storage.paths import relative_to
from pipeline.store import gc, lock
from pipeline.store.gc import Garbage
from pipeline.store.store import Store
from pipeline.terminal.output import format_bytes, print_json, print_lines


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--keep", type=positive, required=True, metavar="N",
                        help="keep the N versions published last, and LATEST")  # fmt: skip
    parser.add_argument("--runs", type=positive, metavar="N",
                        help="keep the folders of the N newest runs, and of those that something "
                        "is left of; default: of the runs of the last 30 days")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true",
                        help="print what would be deleted; delete nothing")  # fmt: skip


def execute(arguments: Namespace) -> None:
    """Delete the garbage, or only list it."""
    store = Store.of(reading.load(arguments.config, arguments.assignments), make=False)
    if arguments.dry_run:
        garbage = gc.find_garbage(store, arguments.keep, runs=arguments.runs)
    else:
        with lock.hold_store(store, "nitamono gc", wait=arguments.wait):
            garbage = gc.collect(store, arguments.keep, runs=arguments.runs)
    if arguments.json:
        print_json(_as_json(garbage, store, dry_run=arguments.dry_run))
    else:
        print_lines(_lines(garbage, store, dry_run=arguments.dry_run))


def _lines(garbage: Garbage, store: Store, *, dry_run: bool) -> Iterator[str]:
    """The bytes freed by folder, and what was kept and why."""
    sizes_by_folder: dict[str, list[int]] = {}
    for path, count in garbage.data.items():
        sizes_by_folder.setdefault(str(relative_to(path.parent, store.root)), []).append(count)
    for folder, sizes in sizes_by_folder.items():
        yield f"{folder:<24} {len(sizes):>4}  {format_bytes(sum(sizes)):>10}"
    if garbage.records:
        yield f"{'stages (records)':<24} {len(garbage.records):>4}"
    action = "would free" if dry_run else "freed"
    yield f"{action} {garbage.size:,} bytes ({format_bytes(garbage.size)})"
    yield from (f"kept  {reason}: {counts}" for reason, counts in _counts_by_reason(garbage))


def _counts_by_reason(garbage: Garbage) -> Iterator[tuple[str, str]]:
    """Each reason for keeping something, and how much is kept for it."""
    counts: dict[str, list[str]] = {}
    for kind, reasons in (
        ("stage output", garbage.retained.versions),
        ("model", garbage.retained.models),
        ("quantiser", garbage.retained.quantisers),
        ("run", garbage.retained.runs),
    ):
        for reason, count in Counter(reasons.values()).items():
            counts.setdefault(reason, []).append(f"{count} {kind}{'s' * (count > 1)}")
    yield from ((reason, ", ".join(parts)) for reason, parts in counts.items())


def _as_json(garbage: Garbage, store: Store, *, dry_run: bool) -> dict[str, Any]:
    records = [{"path": str(relative_to(path, store.root)), "bytes": 0} for path in garbage.records]
    data = [
        {"path": str(relative_to(path, store.root)), "bytes": count}
        for path, count in garbage.data.items()
    ]
    return {
        "dry_run": dry_run,
        "freed_bytes": garbage.size,
        "deleted": [*records, *data],
        "kept": {
            "versions": garbage.retained.versions,
            "models": garbage.retained.models,
            "quantisers": garbage.retained.quantisers,
            "runs": garbage.retained.runs,
        },
    }
