"""Export to PostgreSQL: COPY into a new table, index it, check it, swap it in.

A file's rows and the note that it has been copied are one transaction, so an export that is broken
off goes on where it was, with every row once. The advisory lock that keeps two exports apart and
the swap are one connection's: who has lost the lock can't swap.
"""

import hashlib
import io
import os
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from pipeline.errors import LockedError, StageError
from pipeline.export import digest, pg_swap, pg_tables, work
from pipeline.export.address import Address, with_environment
from pipeline.export.digest import Digest
from pipeline.export.options import Options
from pipeline.export.pg_server import Connection, connect, explained
from pipeline.export.pg_tables import Live, Names
from pipeline.export.source import COLUMNS, Source
from pipeline.terminal.progress import StageLine

_LOCK = "nitamono export"
_AS_CSV = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")


def export(source: Source, address: Address, options: Options, line: StageLine) -> dict[str, Any]:
    """Make the table of a version the one that readers see.

    Returns:
        what was done, for the result.

    Raises:
        StageError: the server fails, or the table can't be replaced; readers see the old one.
        LockedError: another export to this table is under way.
    """
    address = with_environment(address, os.environ, "PGPASSWORD")
    with explained(address), connect(address) as control:
        names = Names.of(control, options.table)
        _lock(control, names)
        pg_swap.drop_old(control, names)
        before = pg_tables.live(control, names)
        shown = {"table": str(names), "files": len(source.files)}
        if before and before.about.get("version") == source.version and not options.again:
            return {**shown, "done": "already", "items": before.about.get("items")}
        new = _new(control, names, source)
        fill = _Fill(source, address, names, new)
        done = _done(control, names)
        meter = work.Meter(line, source.rows)
        meter.before(sum(one.rows for one in done.values()))
        left = [n for n in range(len(source.files)) if source.name(n) not in done]
        work.each(left, lambda number: fill.copy(number, meter), options.jobs, meter)
        line.note = "building the index"
        _index(control, names, before, new)
        line.note = "comparing the new table with the store's"
        found, hashed = _checked(control, names, source)
        _run(control, "ANALYZE {}", names.new)
        line.note = "waiting to swap the tables"
        about = {
            "version": source.version,
            "run_id": source.run_id,
            "rows": found.rows,
            "items": found.items,
            "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        pg_swap.swap(control, names, before, about, options.swap_wait)
        kept = pg_swap.drop_old(control, names)
        notes = [f"the old table is dropped by the next export: {kept}"] if kept else []
        return {
            **shown,
            "done": "exported",
            "items": found.items,
            "checked": "counted, and hashes of all rows compared" if hashed else "counted",
            "files_copied": len(left),
            "notes": notes,
        }


def _lock(control: Connection, names: Names) -> None:
    """Keep others out; the server lets go of the lock when this connection ends.

    Raises:
        LockedError: another is at it.
    """
    keys = [_LOCK, str(names)]
    took = "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))"
    if _one(control, took, keys):
        return
    who = _one(
        control,
        "SELECT format('pid %%s of the server, from %%s, since %%s', a.pid, "
        "coalesce(host(a.client_addr), 'its own host'), a.backend_start::timestamptz(0)) "
        "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' "
        "AND l.granted AND l.classid = hashtext(%s)::bigint & 4294967295 "
        "AND l.objid = hashtext(%s)::bigint & 4294967295",
        keys,
    )
    raise LockedError(
        f"another export to {names} is under way ({who or 'just ended'}); try again later"
    )


def _new(control: Connection, names: Names, source: Source) -> int:
    """The table to fill: that of an export of this version that was broken off, or an empty one.

    Returns:
        its oid.
    """
    files = hashlib.sha256("\n".join(map(source.name, range(len(source.files)))).encode())
    purpose = {"version": source.version, "files": files.hexdigest()}
    # As format() quotes them, to_regclass() reads them.
    find = "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text))::oid::bigint"
    oid = _one(control, find, [names.schema, names.plain("new")])
    if oid and pg_tables.about(_one(control, "SELECT obj_description(%s, 'pg_class')", [oid])) == (
        purpose
    ):
        return int(str(oid))
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in pg_tables.COLUMNS.items())
    with control.transaction():
        _run(control, "DROP TABLE IF EXISTS {}, {}", names.new, names.files)
        _run(control, f"CREATE TABLE {{}} ({columns})", names.new)
        _run(
            control,
            "CREATE TABLE {} (file text PRIMARY KEY, rows bigint, items bigint, total numeric)",
            names.files,
        )
        comment = sql.Literal(pg_tables.described(purpose))
        _run(control, "COMMENT ON TABLE {} IS {}", names.new, comment)
    return int(str(_one(control, find, [names.schema, names.plain("new")])))


def _done(control: Connection, names: Names) -> dict[str, Digest]:
    """What has been copied, by file."""
    rows = control.execute(
        sql.SQL("SELECT file, rows, items, total::text FROM {}").format(names.files)
    )
    return {
        str(file): Digest(int(str(count)), int(str(items)), int(str(total)))
        for file, count, items, total in rows
    }


class _Fill:
    """Copies files into the new table, each over a connection of its own."""

    def __init__(self, source: Source, address: Address, names: Names, oid: int) -> None:
        self._source, self._address, self._names, self._oid = source, address, names, oid

    def copy(self, number: int, meter: work.Meter) -> None:
        """Copy a file and note that, in one transaction."""
        names = self._names
        with (
            explained(self._address),
            connect(self._address) as connection,
            connection.transaction(),
        ):
            # Its lock would not keep out an export on a server that lost sight of ours.
            there = connection.execute(
                "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text))::oid::bigint",
                [names.schema, names.plain("new")],
            ).fetchone()
            if there != (self._oid,):
                raise StageError("export: another export has taken this one's place")
            total = self._rows(connection, number, meter)
            connection.execute(
                sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s::numeric)").format(names.files),
                [self._source.name(number), total.rows, total.items, str(total.total)],
            )

    def _rows(self, connection: Connection, number: int, meter: work.Meter) -> Digest:
        total = Digest()
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            self._names.new, sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        )
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for batch in self._source.batches(number):
                    meter.add(batch.num_rows)
                    copy.write(_csv(batch))
                    total += digest.of(batch)
            if cursor.rowcount != total.rows:
                raise StageError(
                    f"export: the server took {cursor.rowcount} rows, not {total.rows}, of "
                    f"{self._source.name(number)}; run it again"
                )
        return total


def _csv(batch: pa.RecordBatch) -> bytes:
    """Rows as COPY reads them.

    Raises:
        StageError: an id holds a NUL, which PostgreSQL's text can't.
    """
    to = io.BytesIO()
    pa_csv.write_csv(batch.select(list(COLUMNS)), to, _AS_CSV)
    content = to.getvalue()
    if b"\0" in content:
        ids = chain(*(batch.column(name).to_pylist() for name in ("item_id", "similar_id")))
        item = next(one for one in ids if one and "\0" in one)
        raise StageError(
            f"export: the item {item!r} has a NUL character in its id, which PostgreSQL can't "
            "store; give it another id in the catalogue"
        )
    return content


def _index(control: Connection, names: Names, before: Live | None, oid: int) -> None:
    """Build the primary key, and the indexes that somebody gave the old table."""
    others = before.indexes if before else ()
    primary = next((index.oid for index in others if index.primary), 0)
    wanted = {names.plain(str(oid)) for oid in (primary, *(index.oid for index in others))}
    built = pg_tables.indexes(control, oid)
    for index in built:
        # Of an export that was broken off, when the old table had others.
        if index.name not in wanted:
            name, table = sql.Identifier(names.schema, index.name), names.new
            if index.primary:
                key = sql.Identifier(index.name)
                _run(control, "ALTER TABLE {} DROP CONSTRAINT {}", table, key)
            else:
                _run(control, "DROP INDEX {}", name)
    if not any(index.primary and index.name in wanted for index in built):
        statement = "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY (item_id, rank)"
        _run(control, statement, names.new, sql.Identifier(names.plain(str(primary))))
    for index in others:
        if not index.primary:
            unique = "UNIQUE " if index.unique else ""
            _run(
                control,
                f"CREATE {unique}INDEX IF NOT EXISTS {{}} ON {{}} USING {{}}",
                sql.Identifier(names.plain(str(index.oid))),
                names.new,
                sql.SQL(index.using),
            )


def _checked(control: Connection, names: Names, source: Source) -> tuple[Digest, bool]:
    """What the new table holds, compared with what the store's files do.

    Returns:
        its digest; and whether the rows' hashes were compared too, not only counted.

    Raises:
        StageError: it is not the same; the new table is dropped.
    """
    ask = "SELECT hashtextextended(%s::text, %s)"
    theirs = [int(str(_one(control, ask, list(probe)))) % 2**64 for probe in digest.PROBES]
    hashed = theirs == digest.probes()
    value = sql.SQL(f"sum({digest.SQL})" if hashed else "0")
    row = control.execute(
        sql.SQL("SELECT count(*), count(*) FILTER (WHERE rank = 1), ({})::text FROM {}").format(
            value, names.new
        )
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    found = Digest(int(str(row[0])), int(str(row[1])), int(str(row[2] or 0)) % 2**64)
    wanted = sum(_done(control, names).values(), Digest())
    if not hashed:
        wanted = Digest(wanted.rows, wanted.items)
    if found != wanted or found.rows != source.rows:
        _run(control, "DROP TABLE {}, {}", names.new, names.files)
        raise StageError(
            f"export: the table that was copied is not the store's ({found.rows:,} rows of "
            f"{found.items:,} items, {source.rows:,} and {wanted.items:,} in the store, or other "
            "values); it was dropped: run it again"
        )
    return found, hashed


def _run(control: Connection, statement: str, *parts: sql.Composable) -> None:
    control.execute(sql.SQL(statement).format(*parts))


def _one(control: Connection, query: str, values: list[Any]) -> object:
    row = control.execute(query, values).fetchone()
    return None if row is None else row[0]
