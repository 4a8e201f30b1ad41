"""The table that readers see: whether it can be replaced, and what its comment says."""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.errors import StageError
from pipeline.export.postgres.indexes import Index, read_indexes
from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection

COLUMNS = {"item_id": "text", "rank": "integer", "similar_id": "text", "score": "real"}
_COMMENT_START = "nitamono "


@dataclass(frozen=True)
class LiveTable:
    """The table that readers see.

    Attributes:
        oid: its object id.
        owner: the role that owns it.
        description: what its comment says: version, run_id, ...; empty if no export wrote one.
        indexes: that of the primary key, and those that somebody added.
    """

    oid: int
    owner: str
    description: dict[str, Any]
    indexes: tuple[Index, ...]


def format_comment(description: dict[str, Any]) -> str:
    """The comment of a table."""
    return _COMMENT_START + json.dumps(description)


def parse_comment(comment: object) -> dict[str, Any]:
    """The description in a table's comment; empty if an export did not write it."""
    if isinstance(comment, str) and comment.startswith(_COMMENT_START):
        try:
            return dict(json.loads(comment.removeprefix(_COMMENT_START)))
        except ValueError:
            return {}
    return {}


def read_live_table(connection: Connection, names: Names) -> LiveTable | None:
    """The table that readers see; None if there is none.

    Raises:
        StageError: it can't be replaced: it holds something else, or other objects depend on it.
    """
    row = connection.execute(
        "SELECT c.oid::bigint, c.relkind, pg_get_userbyid(c.relowner)::text, "
        "pg_has_role(c.relowner, 'USAGE'), obj_description(c.oid, 'pg_class'), "
        "format('%%I.%%I', n.nspname, c.relname), c.relrowsecurity, "
        "(SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod)) "
        "FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [names.schema, names.table],
    ).fetchone()
    if row is None:
        return None
    oid, kind, owner, is_member, comment, quoted_name, row_security, columns = row
    expected = {f"{name} {type_}" for name, type_ in COLUMNS.items()}
    if kind != "r" or not isinstance(columns, list) or set(columns) != expected:
        raise StageError(
            f"export: {names} is there and is no table of similar items; rename it, or choose "
            "another name with --table"
        )
    if not is_member:
        raise StageError(f"export: {names} is owned by {owner}; connect as {owner} or a member")
    dependents = _dependents(connection, oid)
    if row_security or dependents:
        objects = ", ".join(dependents) or "row security"
        raise StageError(
            f"export: {objects} would be lost, or keep the old table, when {names} is replaced; "
            "drop it and let readers use the table's name, or choose another with --table"
        )
    indexes = read_indexes(connection, oid, str(quoted_name))
    return LiveTable(int(str(oid)), str(owner), parse_comment(comment), indexes)


def _dependents(connection: Connection, oid: object) -> list[str]:
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
