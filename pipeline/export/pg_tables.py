"""The tables of an export to PostgreSQL: the one that readers see, and the one that is filled."""

import json
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from pipeline.errors import StageError, UsageError
from pipeline.export.pg_server import Connection

COLUMNS = {"item_id": "text", "rank": "integer", "similar_id": "text", "score": "real"}
_MARK = "nitamono "
# PostgreSQL cuts longer names; ours are longer than the table's by a number and some letters.
_LONGEST = 63 - len("__nitamono_old_4294967295")


@dataclass(frozen=True)
class Names:
    """A table's names, as they are, not quoted.

    Attributes:
        schema: where it and ours are.
        table: the one that readers see.
    """

    schema: str
    table: str

    @classmethod
    def of(cls, connection: Connection, text: str) -> "Names":
        """What --table says: NAME or SCHEMA.NAME.

        Raises:
            UsageError: the name is too long, or there is no such schema.
        """
        first, point, rest = text.partition(".")
        schema, table = (first, rest) if point else ("", first)
        if not table or len(table.encode()) > _LONGEST:
            raise UsageError(f"--table {text}: a name has 1 to {_LONGEST} bytes")
        found = connection.execute(
            "SELECT nspname FROM pg_namespace "
            "WHERE nspname = coalesce(nullif(%s, ''), current_schema())",
            [schema],
        ).fetchone()
        if found is None:
            raise UsageError(f"--table {text}: the database has no such schema; create it first")
        return cls(str(found[0]), table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    def ours(self, suffix: str) -> sql.Identifier:
        """A table or index of ours beside it, with its schema."""
        return sql.Identifier(self.schema, self.plain(suffix))

    def plain(self, suffix: str) -> str:
        """Its name without the schema."""
        return f"{self.table}__nitamono_{suffix}"

    @property
    def live(self) -> sql.Identifier:
        """The table that readers see."""
        return sql.Identifier(self.schema, self.table)

    @property
    def new(self) -> sql.Identifier:
        """The table that is filled."""
        return self.ours("new")

    @property
    def files(self) -> sql.Identifier:
        """Which files have been copied into that."""
        return self.ours("files")

    @property
    def old(self) -> sql.Identifier:
        """The table that readers saw before."""
        return self.ours("old")


@dataclass(frozen=True)
class Index:
    """An index of the table that readers see.

    Attributes:
        oid: its number.
        name: without the schema.
        primary: whether it is the primary key's.
        unique: whether values are kept apart by it.
        using: the end of its definition, from the method on.
    """

    oid: int
    name: str
    primary: bool
    unique: bool
    using: str


@dataclass(frozen=True)
class Live:
    """The table that readers see.

    Attributes:
        oid: its number.
        owner: the role.
        about: what an export has noted of it: version, run_id; empty where none has.
        indexes: the primary key's, and others that somebody added.
    """

    oid: int
    owner: str
    about: dict[str, Any]
    indexes: tuple[Index, ...]


def described(about: dict[str, Any]) -> str:
    """A table's comment."""
    return _MARK + json.dumps(about)


def about(comment: object) -> dict[str, Any]:
    """What a table's comment says; empty where it is not ours."""
    if isinstance(comment, str) and comment.startswith(_MARK):
        try:
            return dict(json.loads(comment.removeprefix(_MARK)))
        except ValueError:
            return {}
    return {}


def live(connection: Connection, names: Names) -> Live | None:
    """The table that readers see, if there is one.

    Raises:
        StageError: it can't be replaced: it is another's, or something hangs on it.
    """
    found = connection.execute(
        "SELECT c.oid::bigint, c.relkind, pg_get_userbyid(c.relowner)::text, "
        "pg_has_role(c.relowner, 'USAGE'), obj_description(c.oid, 'pg_class'), "
        "format('%%I.%%I', n.nspname, c.relname), c.relrowsecurity, "
        "(SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod)) "
        "FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [names.schema, names.table],
    ).fetchone()
    if found is None:
        return None
    oid, kind, owner, may, comment, qualified, secured, columns = found
    wanted = {f"{name} {type_}" for name, type_ in COLUMNS.items()}
    if kind != "r" or not isinstance(columns, list) or set(columns) != wanted:
        raise StageError(
            f"export: {names} is there and is no table of similar items; rename it, or choose "
            "another name with --table"
        )
    if not may:
        raise StageError(f"export: {names} is owned by {owner}; connect as {owner} or a member")
    hanging = _hanging(connection, oid)
    if secured or hanging:
        what = ", ".join(hanging) or "row security"
        raise StageError(
            f"export: {what} would be lost, or keep the old table, when {names} is replaced; drop "
            "it and let readers use the table's name, or choose another with --table"
        )
    return Live(int(str(oid)), str(owner), about(comment), indexes(connection, oid, str(qualified)))


def _hanging(connection: Connection, oid: object) -> list[str]:
    """What depends on a table besides its indexes, keys and defaults: views, triggers, policies."""
    rows = connection.execute(
        "SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d "
        "LEFT JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid "
        "LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid "
        "WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s "
        "AND d.deptype IN ('n', 'a') AND i.relkind IS DISTINCT FROM 'i' "
        "AND NOT coalesce(k.conrelid = %(oid)s AND k.contype IN ('p', 'n'), false) ORDER BY 1",
        {"oid": oid},
    )
    return [str(row[0]) for row in rows]


def indexes(connection: Connection, oid: object, qualified: str = "") -> tuple[Index, ...]:
    """The indexes of a table; how each is defined where its name is given, quoted as needed."""
    rows = connection.execute(
        "SELECT i.indexrelid::bigint, c.relname, i.indisprimary, i.indisunique, "
        "pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE i.indrelid = %s AND i.indisvalid ORDER BY 1",
        [oid],
    )
    found = []
    for number, name, primary, unique, definition in rows:
        using = str(definition).partition(f" ON {qualified} USING ")[2]
        found.append(Index(int(str(number)), str(name), bool(primary), bool(unique), using))
    return tuple(found)
