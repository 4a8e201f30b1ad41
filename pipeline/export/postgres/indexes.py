"""The indexes of the live table, and their building on the new one."""

from dataclasses import dataclass

from psycopg import sql

from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection, execute


@dataclass(frozen=True)
class Index:
    """An index of a table.

    Attributes:
        oid: its object id.
        name: its name, without the schema.
        primary: whether it belongs to the primary key.
        unique: whether it keeps values unique.
        definition: the end of its definition, from the access method on.
    """

    oid: int
    name: str
    primary: bool
    unique: bool
    definition: str


def read_indexes(connection: Connection, oid: object, table: str = "") -> tuple[Index, ...]:
    """The valid indexes of a table.

    Args:
        connection: to the server.
        oid: the table's object id.
        table: the table's name, quoted as PostgreSQL quotes it, with the schema; without it,
            definitions are empty.
    """
    rows = connection.execute(
        "SELECT i.indexrelid::bigint, c.relname, i.indisprimary, i.indisunique, "
        "pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE i.indrelid = %s AND i.indisvalid ORDER BY 1",
        [oid],
    )
    return tuple(
        Index(
            int(str(index_oid)),
            str(name),
            bool(primary),
            bool(unique),
            str(definition).partition(f" ON {table} USING ")[2],
        )
        for index_oid, name, primary, unique, definition in rows
    )


def build_indexes(
    connection: Connection, names: Names, live_indexes: tuple[Index, ...], new_oid: int
) -> None:
    """Build the new table's primary key, and the indexes that somebody added to the live table.

    An index of the new table is named by the oid of the live table's index that it replaces; the
    swap renames it by that. A primary key that replaces none is named by 0.
    """
    primary_oid = next((index.oid for index in live_indexes if index.primary), 0)
    index_names = {
        names.plain(str(oid)) for oid in (primary_oid, *(index.oid for index in live_indexes))
    }
    existing = read_indexes(connection, new_oid)
    for index in existing:
        # An interrupted export built it, when the live table had other indexes.
        if index.name not in index_names:
            _drop_index(connection, names, index)
    if not any(index.primary and index.name in index_names for index in existing):
        statement = "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY (item_id, rank)"
        key = sql.Identifier(names.plain(str(primary_oid)))
        execute(connection, statement, names.new, key)
    for index in live_indexes:
        if not index.primary:
            unique = "UNIQUE " if index.unique else ""
            execute(
                connection,
                f"CREATE {unique}INDEX IF NOT EXISTS {{}} ON {{}} USING {{}}",
                sql.Identifier(names.plain(str(index.oid))),
                names.new,
                sql.SQL(index.definition),
            )


def _drop_index(connection: Connection, names: Names, index: Index) -> None:
    if index.primary:
        key = sql.Identifier(index.name)
        execute(connection, "ALTER TABLE {} DROP CONSTRAINT {}", names.new, key)
    else:
        execute(connection, "DROP INDEX {}", sql.Identifier(names.schema, index.name))
