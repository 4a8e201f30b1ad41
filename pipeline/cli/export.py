"""The verb `export`: the published table into PostgreSQL, redis, a catalog's table, or files."""

import os
import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.cli.argument_types import positive, seconds
from pipeline.cli.parser import Parser
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.export import address as addresses
from pipeline.export import catalog_export
from pipeline.export.address import Address
from pipeline.export.jsonl import export as jsonl
from pipeline.export.options import Options
from pipeline.export.source import Source
from pipeline.spark.reading_session import reading_session
from pipeline.store import lock
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

_DEFAULT = Options()


def add_arguments(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--to", required=True, metavar="WHERE",
                        help="postgres:// or redis:// without a password, table, jsonl, or "
                        "env:NAME, a variable that holds the address")  # fmt: skip
    parser.add_argument("--version", default="LATEST", metavar="V",
                        help="a run or a version; default: the published one")  # fmt: skip
    parser.add_argument("--again", action="store_true",
                        help="export even if the target has this version already")  # fmt: skip
    parser.add_argument("--jobs", type=positive, default=_DEFAULT.jobs, metavar="N",
                        help=f"number of files at a time; default: {_DEFAULT.jobs}")  # fmt: skip
    parser.add_argument("--table", default=_DEFAULT.table, metavar="NAME",
                        help="PostgreSQL's table, NAME or SCHEMA.NAME; default: "
                        "similar_items. Of table: CATALOG.SCHEMA.TABLE; default: "
                        "publish.table")  # fmt: skip
    parser.add_argument("--swap-wait", type=seconds, default=_DEFAULT.swap_wait, metavar="SECONDS",
                        help="how long to wait for transactions that read PostgreSQL's old "
                        "table; default: 300")  # fmt: skip
    parser.add_argument("--prefix", default=_DEFAULT.prefix, metavar="TEXT",
                        help="prefix of redis' keys; default: similar_items")  # fmt: skip
    parser.add_argument("--keep-seconds", type=positive, metavar="SECONDS",
                        help="how long redis' old version stays; default: until the next "
                        "export")  # fmt: skip
    parser.add_argument("--out", default="", metavar="FOLDER",
                        help="target of jsonl: a folder, or s3a://, gs:// or abfss://")  # fmt: skip
    parser.add_argument("--files", type=positive, default=0, metavar="N",
                        help="number of jsonl's files; default: one for each million "
                        "items")  # fmt: skip
    parser.add_argument("--gzip", action="store_true", help="compress jsonl's files")


def execute(arguments: Namespace) -> None:
    """Export a version and print what was done."""
    config = reading.load(arguments.config, arguments.assignments)
    address = Address.parse(arguments.to, os.environ)
    options = Options(**{name: getattr(arguments, name) for name in vars(_DEFAULT)})
    if (address.kind == addresses.JSONL) != bool(options.out):
        raise UsageError("export: --to jsonl takes --out FOLDER, and nothing else does")
    store, start = Store.of(config, make=False), time.monotonic()
    source = Source.resolve(store, arguments.version)
    result = {
        "to": address.label,
        "version": source.version,
        "run_id": source.run_id or None,
        "rows": source.rows,
        **_export(store, config, address, options, source),
        "seconds": round(time.monotonic() - start, 1),
    }
    if arguments.json:
        print_json(result)
    else:
        print_lines(_lines(result))


def _export(
    store: Store, config: Config, address: Address, options: Options, source: Source
) -> dict[str, Any]:
    """Export, and return what the target's module says was done."""
    if address.kind == addresses.JSONL:
        spark = partial(reading_session, config, "export to jsonl")
        return jsonl.export(store, config, source, options, spark)
    if address.kind == addresses.TABLE:
        # What publishes puts a version there too.
        with (
            lock.hold_store(store, "nitamono export"),
            reading_session(config, "export to table") as session,
        ):
            return catalog_export.export(store, config, source, options, session)
    try:
        # They need packages that only nitamono[export] installs.
        if address.kind == "redis":
            from pipeline.export.redis.export import export
        else:
            from pipeline.export.postgres.export import export
    except ImportError as error:
        raise UsageError(f"export to {address.kind}: {addresses.INSTALL}") from error
    with Progress().stage(f"export to {address.kind}") as line:
        result = export(source, address, options, line)
        line.note = ""
    return result


def _lines(result: dict[str, Any]) -> Iterator[str]:
    """The result for a person."""
    target = next(result[name] for name in ("table", "prefix", "folder") if name in result)
    yield f"{result['to']}  {target}"
    run = f"  run {result['run_id']}" if result["run_id"] else ""
    yield f"version  {result['version']}{run}"
    if result["done"] == "already":
        yield "nothing to do: this version is there already; --again exports it anew"
        return
    items = f" of {result['items']:,} items" if "items" in result else ""
    yield f"rows     {result['rows']:,}{items}, {result['checked']}"
    resumed = result["files"] - result["files_copied"]
    more = f", {resumed} of them by an export that was interrupted" if resumed else ""
    yield f"files    {result['files']}{more}"
    yield from (f"note     {note}" for note in result.get("notes", ()))
    yield f"seconds  {result['seconds']}"
