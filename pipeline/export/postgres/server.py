"""Connections to a PostgreSQL server, short forms of queries, and errors with advice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from pipeline.export.address import RERUN, Address

Connection = psycopg.Connection[tuple[object, ...]]

# The first class that fits an error gives the advice.
_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, f"make room on the server, for a second table and its index, and {RERUN}"),
    (errors.OutOfMemory, f"the server's memory ran out; {RERUN}, with fewer --jobs"),
    (errors.TooManyConnections, "give fewer --jobs, or raise the server's max_connections"),
    (errors.InvalidPassword, "set PGPASSWORD, ~/.pgpass or PGSERVICE"),
    (errors.InsufficientPrivilege, "it takes CREATE on the schema, and to be the table's owner"),
    (errors.UntranslatableCharacter, "export to a database whose encoding is UTF8"),
    (errors.CharacterNotInRepertoire, "export to a database whose encoding is UTF8"),
    (errors.ReadOnlySqlTransaction, "name the primary, not a standby"),
)
# One statement may take hours, and so may the pause between two. Keepalive finds out whether the
# other side is still there.
_SESSION = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6"
)


def connect(address: Address) -> Connection:
    """Connect in autocommit mode; libpq finds the password.

    Raises:
        psycopg.Error: there is no such server, or it refuses the user.
    """
    connection = psycopg.connect(
        address.url,
        autocommit=True,
        application_name="nitamono export",
        client_encoding="utf8",
        keepalives_idle=60,
    )
    connection.execute(_SESSION)
    return connection


def execute(connection: Connection, statement: str, *parts: sql.Composable) -> None:
    """Execute a statement whose {} are replaced by quoted names and literals."""
    connection.execute(sql.SQL(statement).format(*parts))


def scalar(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any]) -> object:
    """The first value of a query's first row; None if it has no row."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


@contextmanager
def server_errors(address: Address) -> Iterator[None]:
    """Replace the client's errors by an error of nitamono, without passwords.

    Raises:
        StageError: the server failed; the message says what to do.
    """
    try:
        yield
    except psycopg.Error as error:
        parts = [error.diag.message_primary or str(error), error.diag.message_detail]
        text = "; ".join(part for part in parts if part)
        advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), RERUN)
        if isinstance(error, psycopg.OperationalError) and "password" in text:
            advice = dict(_ADVICE)[errors.InvalidPassword]
        raise address.failure(text, advice) from None
