"""Export to PostgreSQL: COPY into a new table, index it, compare it, swap it in.

A file's rows and the record that it has been copied are one transaction, so an interrupted export
is continued with every row once. One connection, `control`, holds the advisory lock that keeps two
exports apart, and makes the swap: an export that has lost the lock can't swap.
"""

import os
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import LockedError
from pipeline.export.address import Address
from pipeline.export.options import Options
from pipeline.export.parallel import Meter, for_each_file
from pipeline.export.postgres import swap
from pipeline.export.postgres.digest import Digest
from pipeline.export.postgres.fill import FileCopier, copied_files, prepare_new_table
from pipeline.export.postgres.indexes import build_indexes
from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection, connect, execute, scalar, server_errors
from pipeline.export.postgres.tables import read_live_table
from pipeline.export.postgres.verify import verify_new_table
from pipeline.export.source import Source
from pipeline.terminal.progress import StageLine

_LOCK = "nitamono export"
_TABLE = "similar_items"


def export(source: Source, address: Address, options: Options, line: StageLine) -> dict[str, Any]:
    """Make the table of a version the one that readers see.

    Returns:
        fields of the verb's result.

    Raises:
        StageError: the server fails, or the table can't be replaced; readers see the old one.
        LockedError: another export to this table is under way.
    """
    address = address.with_secrets(os.environ, "PGPASSWORD")
    with server_errors(address), connect(address) as control:
        names = Names.parse(control, options.table or _TABLE)
        _lock(control, names)
        swap.drop_old_table(control, names)
        live = read_live_table(control, names)
        result: dict[str, Any] = {"table": str(names), "files": len(source.files)}
        if live and live.description.get("version") == source.version and not options.again:
            return {**result, "done": "already", "items": live.description.get("items")}
        new_oid = prepare_new_table(control, names, source)
        copier = FileCopier(source, address, names, new_oid)
        result["files_copied"] = _copy(control, names, source, copier, options.jobs, line)
        line.note = "building the index"
        build_indexes(control, names, live.indexes if live else (), new_oid)
        line.note = "comparing the new table with the store's"
        digest, hashed = verify_new_table(control, names, source)
        execute(control, "ANALYZE {}", names.new)
        line.note = "waiting to swap the tables"
        description = _description(source, digest)
        swap.swap_tables(control, names, live, description, options.swap_wait)
        reason = swap.drop_old_table(control, names)
    return {
        **result,
        "done": "exported",
        "items": digest.items,
        "checked": "counted, and hashes of all rows compared" if hashed else "counted",
        "notes": [f"the old table is dropped by the next export: {reason}"] if reason else [],
    }


def _copy(
    control: Connection,
    names: Names,
    source: Source,
    copier: FileCopier,
    jobs: int,
    line: StageLine,
) -> int:
    """Copy the files that no interrupted export has copied; return their number."""
    copied = copied_files(control, names)
    meter = Meter(line, source.rows)
    meter.resume(sum(digest.rows for digest in copied.values()))
    unfinished = source.unfinished(copied)
    for_each_file(unfinished, lambda number: copier.copy(number, meter), jobs, meter)
    return len(unfinished)


def _description(source: Source, digest: Digest) -> dict[str, Any]:
    return {
        "version": source.version,
        "run_id": source.run_id,
        "rows": digest.rows,
        "items": digest.items,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lock(control: Connection, names: Names) -> None:
    """Take the advisory lock of this table; the server releases it when the connection ends.

    Raises:
        LockedError: another export holds it.
    """
    keys = [_LOCK, str(names)]
    if scalar(control, "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", keys):
        return
    holder = scalar(
        control,
        "SELECT format('pid %%s of the server, from %%s, since %%s', a.pid, "
        "coalesce(host(a.client_addr), 'its own host'), a.backend_start::timestamptz(0)) "
        "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' "
        "AND l.granted AND l.classid = hashtext(%s)::bigint & 4294967295 "
        "AND l.objid = hashtext(%s)::bigint & 4294967295",
        keys,
    )
    raise LockedError(
        f"another export to {names} is under way ({holder or 'just ended'}); try again later"
    )
