"""The swap: in one transaction the new table gets the live one's name, owner, grants, indexes."""

import random
import time
from collections.abc import Iterable
from typing import Any

from psycopg import errors, sql

from pipeline.errors import StageError
from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection, execute
from pipeline.export.postgres.tables import LiveTable, format_comment, read_live_table

# The longest wait for the lock in one attempt: other readers queue behind it.
_LOCK_SECONDS = 1
_PAUSE_SECONDS = 2.0


def swap_tables(
    connection: Connection,
    names: Names,
    live: LiveTable | None,
    description: dict[str, Any],
    wait: float,
) -> None:
    """Put the new table in the live one's place, in one transaction.

    Args:
        connection: the connection that holds the export's lock.
        names: names of the tables.
        live: the table that is replaced, as it was when the new table's indexes were built; None
            if there is none.
        description: description of the new table, for its comment.
        wait: seconds to wait for readers in long transactions.

    Raises:
        StageError: the readers did not end, or the live table has changed meanwhile.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                _try_swap(connection, names, live, description)
        except errors.LockNotAvailable:
            if time.monotonic() >= deadline:
                raise StageError(
                    f"export: {names} was in use for {wait:.0f} s{_users(connection, live)}; the "
                    "new table is ready: run it again when that has ended, or give "
                    "--swap-wait SECONDS"
                ) from None
            # Readers that queue behind the swap get through meanwhile.
            time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - no secret
        else:
            return


def _try_swap(
    connection: Connection, names: Names, live: LiveTable | None, description: dict[str, Any]
) -> None:
    if live is not None:
        execute(connection, "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.live)
    now = read_live_table(connection, names)
    if (now and (now.oid, now.indexes)) != (live and (live.oid, live.indexes)):
        raise StageError(
            f"export: {names} or its indexes were changed while it was copied; run it again: the "
            "new table stays, and gets them too"
        )
    comment = sql.Literal(format_comment(description))
    execute(connection, "COMMENT ON TABLE {} IS {}", names.new, comment)
    execute(connection, "DROP TABLE {}", names.files)
    if live is not None:
        _copy_grants(connection, names, live)
        old_name = sql.Identifier(names.plain("old"))
        execute(connection, "ALTER TABLE {} RENAME TO {}", names.live, old_name)
        _swap_index_names(connection, names, live)
    if live is None or not any(index.primary for index in live.indexes):
        key = sql.Identifier(f"{names.table}_pkey")
        execute(connection, "ALTER INDEX {} RENAME TO {}", names.qualified("0"), key)
    execute(connection, "ALTER TABLE {} RENAME TO {}", names.new, sql.Identifier(names.table))


def _swap_index_names(connection: Connection, names: Names, live: LiveTable) -> None:
    """Give the new table's indexes the names of those that they replace."""
    for index in live.indexes:
        name, qualified_name = sql.Identifier(index.name), sql.Identifier(names.schema, index.name)
        old_name = sql.Identifier(names.plain(f"old_{index.oid}"))
        new_index = names.qualified(str(index.oid))
        execute(connection, "ALTER INDEX {} RENAME TO {}", qualified_name, old_name)
        execute(connection, "ALTER INDEX {} RENAME TO {}", new_index, name)


def _copy_grants(connection: Connection, names: Names, live: LiveTable) -> None:
    """Give the new table the live one's owner and privileges, and no others."""
    new = names.new
    for grantee, is_owner in _grantees(connection, names.plain("new"), names.schema):
        if not is_owner:
            execute(connection, "REVOKE ALL ON {} FROM {}", new, _role(grantee))
    for grantee, privilege, grantable, column in _privileges(connection, live.oid):
        right: sql.Composable = sql.SQL(str(privilege))
        if column is not None:
            right = sql.SQL("{} ({})").format(right, sql.Identifier(str(column)))
        option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        execute(connection, "GRANT {} ON {} TO {}{}", right, new, _role(grantee), option)
    execute(connection, "ALTER TABLE {} OWNER TO {}", new, sql.Identifier(live.owner))


def _role(name: object) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(str(name))


def _grantees(connection: Connection, table: str, schema: str) -> Iterable[tuple[object, ...]]:
    """The roles that have privileges on a table (None: all roles); whether each is its owner."""
    return connection.execute(
        "SELECT DISTINCT r.rolname, coalesce(a.grantee = c.relowner, false) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a "
        "LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE n.nspname = %s AND c.relname = %s",
        [schema, table],
    ).fetchall()


def _privileges(connection: Connection, oid: int) -> Iterable[tuple[object, ...]]:
    """Privileges on a table of roles other than its owner.

    Returns:
        role (None: all roles), privilege, whether it may be granted on, column (None: the table).
    """
    return connection.execute(
        "SELECT r.rolname, a.privilege_type, a.is_grantable, a.attname FROM ("
        "SELECT (aclexplode(relacl)).*, NULL::name AS attname, relowner FROM pg_class "
        "WHERE oid = %(oid)s UNION ALL "
        "SELECT (aclexplode(t.attacl)).*, t.attname, c.relowner FROM pg_attribute t "
        "JOIN pg_class c ON c.oid = t.attrelid WHERE t.attrelid = %(oid)s AND t.attnum > 0"
        ") a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> a.relowner",
        {"oid": oid},
    ).fetchall()


def _users(connection: Connection, live: LiveTable | None) -> str:
    """The sessions that use the live table, for the message."""
    rows = connection.execute(
        "SELECT DISTINCT a.pid, a.usename, a.xact_start::timestamptz(0) FROM pg_locks l "
        "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.relation = %s AND l.granted "
        "AND a.pid <> pg_backend_pid() LIMIT 5",
        [live.oid if live else 0],
    ).fetchall()
    sessions = [f"pid {pid} ({user}, since {since})" for pid, user, since in rows]
    return f" by {', '.join(sessions)}" if sessions else ""


def drop_old_table(connection: Connection, names: Names) -> str:
    """Drop the table that this or an interrupted export has replaced.

    Returns:
        why it could not be dropped; empty if the old table is gone.
    """
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '10s'")
            execute(connection, "DROP TABLE IF EXISTS {}", names.old)
    except (errors.LockNotAvailable, errors.DependentObjectsStillExist) as error:
        return str(error.diag.message_primary)
    return ""
