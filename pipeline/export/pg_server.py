"""Connections to a PostgreSQL server, and its errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from pipeline.errors import StageError
from pipeline.export.address import Address

Connection = psycopg.Connection[tuple[object, ...]]

AGAIN = "run it again: it goes on from the files that are done"
# The first that fits is said.
_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, f"make room on the server, for a second table and its index, and {AGAIN}"),
    (errors.OutOfMemory, f"the server's memory ran out; {AGAIN}, with fewer --jobs"),
    (errors.TooManyConnections, "give fewer --jobs, or raise the server's max_connections"),
    (errors.InvalidPassword, "set PGPASSWORD, ~/.pgpass or PGSERVICE"),
    (errors.InsufficientPrivilege, "it takes CREATE on the schema, and to be the table's owner"),
    (errors.UntranslatableCharacter, "export to a database whose encoding is UTF8"),
    (errors.CharacterNotInRepertoire, "export to a database whose encoding is UTF8"),
    (errors.ReadOnlySqlTransaction, "name the primary, not a standby"),
)
# Hours may pass in one statement, or between two; and who is gone must be found out.
_SESSION = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6"
)


def connect(address: Address) -> Connection:
    """A connection in autocommit mode; the password is libpq's affair.

    Raises:
        psycopg.Error: there is no such server, or it does not let us in.
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


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """The server's errors become ours, without passwords.

    Raises:
        StageError: saying what to do.
    """
    try:
        yield
    except psycopg.Error as error:
        told = [error.diag.message_primary or str(error), error.diag.message_detail]
        text = address.redacted("; ".join(part for part in told if part))
        advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), AGAIN)
        if isinstance(error, psycopg.OperationalError) and "password" in text:
            advice = dict(_ADVICE)[errors.InvalidPassword]
        # The cause would bring the address along.
        raise StageError(f"export to {address.shown} failed: {text}; {advice}") from None
