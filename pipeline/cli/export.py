"""The verb `export`: the published table into PostgreSQL, redis, or files of JSON Lines."""

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any

from pipeline.cli.verb import Verb, positive, seconds
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.export import address as addresses
from pipeline.export.address import Address
from pipeline.export.options import Options
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

_DEFAULT = Options()


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, metavar="WHERE",
                        help="postgres:// or redis:// without a password, jsonl, or env:NAME, "
                        "a variable that holds the address")  # fmt: skip
    parser.add_argument("--version", default="LATEST", metavar="V",
                        help="a run or a version; else the published one")  # fmt: skip
    parser.add_argument("--again", action="store_true",
                        help="even if this version is there already")  # fmt: skip
    parser.add_argument("--jobs", type=positive, default=_DEFAULT.jobs, metavar="N",
                        help=f"files at a time; {_DEFAULT.jobs} if not given")  # fmt: skip
    parser.add_argument("--table", default=_DEFAULT.table, metavar="NAME",
                        help="of PostgreSQL: NAME or SCHEMA.NAME; else similar_items")  # fmt: skip
    parser.add_argument("--swap-wait", type=seconds, default=_DEFAULT.swap_wait, metavar="SECONDS",
                        help="for transactions that read PostgreSQL's old table; 300 if not "
                        "given")  # fmt: skip
    parser.add_argument("--prefix", default=_DEFAULT.prefix, metavar="TEXT",
                        help="of redis' keys; similar_items if not given")  # fmt: skip
    parser.add_argument("--keep-seconds", type=positive, metavar="SECONDS",
                        help="how long redis' old version stays; else until the next "
                        "export")  # fmt: skip
    parser.add_argument("--out", default="", metavar="FOLDER", help="of jsonl, or s3a://BUCKET/KEY")
    parser.add_argument("--files", type=positive, default=0, metavar="N",
                        help="of jsonl; one a million items if not given")  # fmt: skip
    parser.add_argument("--gzip", action="store_true", help="compress jsonl's files")


def _do(given: argparse.Namespace, settings: Config) -> None:
    address = Address.of(given.to, os.environ)
    options = Options(**{name: getattr(given, name) for name in vars(_DEFAULT)})
    if (address.kind == addresses.JSONL) != bool(options.out):
        raise UsageError("export: --to jsonl takes --out FOLDER, and nothing else does")
    store, start = Store.of(settings, make=False), time.monotonic()
    found = _exported(store, settings, address, options, given.version)
    found |= {"seconds": round(time.monotonic() - start, 1)}
    if given.json:
        print_json(found)
    else:
        print_lines(_lines(found))


def _exported(
    store: Store,
    settings: Config,
    address: Address,
    options: Options,
    version: str,
) -> dict[str, Any]:
    from pipeline.export.source import Source

    source = Source.of(store, version)
    about = {
        "to": address.shown,
        "version": source.version,
        "run_id": source.run_id or None,
        "rows": source.rows,
    }
    if address.kind == addresses.JSONL:
        from pipeline.cli.verbs import _spark
        from pipeline.export import jsonl

        title = "export to jsonl"
        return about | jsonl.export(
            store, settings, source, options, lambda: _spark(settings, title)
        )
    try:
        if address.kind == "redis":
            from pipeline.export.redis import export
        else:
            from pipeline.export.postgres import export
    except ImportError as error:
        raise UsageError(f"export to {address.kind}: {addresses.INSTALL}") from error
    with Progress().stage(f"export to {address.kind}") as line:
        found = export(source, address, options, line)
        line.note = ""
    return about | found


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """The result for a person."""
    where = next(found[name] for name in ("table", "prefix", "folder") if name in found)
    yield f"{found['to']}  {where}"
    run = f"  run {found['run_id']}" if found["run_id"] else ""
    yield f"version  {found['version']}{run}"
    if found["done"] == "already":
        yield "nothing to do: this version is there already; --again exports it anew"
        return
    yield f"rows     {found['rows']:,} of {found['items']:,} items, {found['checked']}"
    resumed = found["files"] - found["files_copied"]
    more = f", {resumed} of them by an export that was broken off" if resumed else ""
    yield f"files    {found['files']}{more}"
    yield from (f"note     {note}" for note in found.get("notes", ()))
    yield f"seconds  {found['seconds']}"


EXPORT = Verb(
    "export",
    "copy the published table into PostgreSQL, redis, or files of JSON Lines",
    "--to postgres://shop@db.example/shop",
    _arguments,
    _do,
)
