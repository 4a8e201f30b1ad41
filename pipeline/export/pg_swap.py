"""The new table takes the old one's place, its grants and the names of its indexes, at once."""

import random
import time
from collections.abc import Iterable
from typing import Any

from psycopg import errors, sql

from pipeline.errors import StageError
from pipeline.export import pg_tables
from pipeline.export.pg_server import Connection
from pipeline.export.pg_tables import Live, Names

# While the swap waits for readers, others wait behind it.
_LOCK_SECONDS = 1
_PAUSE_SECONDS = 2.0


def swap(
    connection: Connection, names: Names, before: Live | None, about: dict[str, Any], wait: float
) -> None:
    """Give the new table its name, in one transaction.

    Args:
        connection: that which holds the export's lock.
        names: of the tables.
        before: what is replaced, as the new table's indexes were built after it.
        about: the new table, for its comment.
        wait: for readers in long transactions, in seconds.

    Raises:
        StageError: they did not end, or the old table has changed meanwhile.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                _swap(connection, names, before, about)
        except errors.LockNotAvailable:
            if time.monotonic() >= deadline:
                raise StageError(
                    f"export: {names} was in use for {wait:.0f} s{_users(connection, before)}; the "
                    "new table is ready: run it again when that has ended, or give "
                    "--swap-wait SECONDS"
                ) from None
            # Whoever waits behind us gets through meanwhile.
            time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - no secret
        else:
            return


def _swap(connection: Connection, names: Names, before: Live | None, about: dict[str, Any]) -> None:
    if before is not None:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names.live))
    now = pg_tables.live(connection, names)
    if (now and (now.oid, now.indexes)) != (before and (before.oid, before.indexes)):
        raise StageError(
            f"export: {names} or its indexes were changed while it was copied; run it again: the "
            "new table stays, and gets them too"
        )
    comment = sql.Literal(pg_tables.described(about))
    _run(connection, "COMMENT ON TABLE {} IS {}", names.new, comment)
    _run(connection, "DROP TABLE {}", names.files)
    if before is not None:
        _grant(connection, names, before)
        _run(connection, "ALTER TABLE {} RENAME TO {}", names.live, _old(names))
        for index in before.indexes:
            was, name = sql.Identifier(names.schema, index.name), sql.Identifier(index.name)
            put_aside = sql.Identifier(names.plain(f"old_{index.oid}"))
            _run(connection, "ALTER INDEX {} RENAME TO {}", was, put_aside)
            _run(connection, "ALTER INDEX {} RENAME TO {}", names.ours(str(index.oid)), name)
    if before is None or not any(index.primary for index in before.indexes):
        key = sql.Identifier(f"{names.table}_pkey")
        _run(connection, "ALTER INDEX {} RENAME TO {}", names.ours("0"), key)
    name = sql.Identifier(names.table)
    _run(connection, "ALTER TABLE {} RENAME TO {}", names.new, name)


def _old(names: Names) -> sql.Identifier:
    return sql.Identifier(names.plain("old"))


def _run(connection: Connection, statement: str, *parts: sql.Composable) -> None:
    connection.execute(sql.SQL(statement).format(*parts))


def _grant(connection: Connection, names: Names, before: Live) -> None:
    """Give the new table the old one's owner and privileges, and no others."""
    new = names.new
    for grantee, owner in _grantees(connection, names.plain("new"), names.schema):
        if not owner:
            _run(connection, "REVOKE ALL ON {} FROM {}", new, _role(grantee))
    for grantee, privilege, again, column in _privileges(connection, before.oid):
        what: sql.Composable = sql.SQL(str(privilege))
        if column is not None:
            what = sql.SQL("{} ({})").format(what, sql.Identifier(str(column)))
        more = sql.SQL(" WITH GRANT OPTION" if again else "")
        _run(connection, "GRANT {} ON {} TO {}{}", what, new, _role(grantee), more)
    _run(connection, "ALTER TABLE {} OWNER TO {}", new, sql.Identifier(before.owner))


def _role(name: object) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(str(name))


def _grantees(connection: Connection, table: str, schema: str) -> Iterable[tuple[object, ...]]:
    return connection.execute(
        "SELECT DISTINCT r.rolname, coalesce(a.grantee = c.relowner, false) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a "
        "LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE n.nspname = %s AND c.relname = %s",
        [schema, table],
    ).fetchall()


def _privileges(connection: Connection, oid: int) -> Iterable[tuple[object, ...]]:
    """Who but the owner may do what: role or None for all, privilege, grant option, column."""
    return connection.execute(
        "SELECT r.rolname, a.privilege_type, a.is_grantable, a.attname FROM ("
        "SELECT (aclexplode(relacl)).*, NULL::name AS attname, relowner FROM pg_class "
        "WHERE oid = %(oid)s UNION ALL "
        "SELECT (aclexplode(t.attacl)).*, t.attname, c.relowner FROM pg_attribute t "
        "JOIN pg_class c ON c.oid = t.attrelid WHERE t.attrelid = %(oid)s AND t.attnum > 0"
        ") a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> a.relowner",
        {"oid": oid},
    ).fetchall()


def _users(connection: Connection, before: Live | None) -> str:
    """Which sessions hold the table, for the message."""
    rows = connection.execute(
        "SELECT DISTINCT a.pid, a.usename, a.xact_start::timestamptz(0) FROM pg_locks l "
        "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.relation = %s AND l.granted "
        "AND a.pid <> pg_backend_pid() LIMIT 5",
        [before.oid if before else 0],
    ).fetchall()
    named = [f"pid {pid} ({user}, since {since})" for pid, user, since in rows]
    return f" by {', '.join(named)}" if named else ""


def drop_old(connection: Connection, names: Names) -> str:
    """Drop what was replaced, in this export or in one that was broken off; else why not."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            _run(connection, "DROP TABLE IF EXISTS {}", names.old)
    except (errors.LockNotAvailable, errors.DependentObjectsStillExist) as error:
        return str(error.diag.message_primary)
    return ""
