"""Filling the new table: COPY of the version's files, each in a transaction of its own."""

import io
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from pipeline.errors import StageError
from pipeline.export.address import Address
from pipeline.export.parallel import Meter
from pipeline.export.postgres.digest import Digest, row_digest
from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection, connect, execute, scalar, server_errors
from pipeline.export.postgres.tables import COLUMNS as COLUMN_TYPES
from pipeline.export.postgres.tables import format_comment, parse_comment
from pipeline.export.source import COLUMNS, Source

_CSV = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")


def prepare_new_table(control: Connection, names: Names, source: Source) -> int:
    """Create the new table, or find that of an interrupted export of the same files.

    Returns:
        its object id.
    """
    purpose = {"version": source.version, "files": source.names_hash()}
    oid = _new_table_oid(control, names)
    if oid is not None:
        comment = scalar(control, "SELECT obj_description(%s, 'pg_class')", [oid])
        if parse_comment(comment) == purpose:
            return oid
    # What fills a list has no score.
    columns = ", ".join(
        f"{name} {kind}{'' if name == 'score' else ' NOT NULL'}"
        for name, kind in COLUMN_TYPES.items()
    )
    with control.transaction():
        execute(control, "DROP TABLE IF EXISTS {}, {}", names.new, names.files)
        execute(control, f"CREATE TABLE {{}} ({columns})", names.new)
        execute(
            control,
            "CREATE TABLE {} (file text PRIMARY KEY, rows bigint, items bigint, total numeric)",
            names.files,
        )
        comment_literal = sql.Literal(format_comment(purpose))
        execute(control, "COMMENT ON TABLE {} IS {}", names.new, comment_literal)
    oid = _new_table_oid(control, names)
    assert oid is not None  # noqa: S101 - it was just created
    return oid


def _new_table_oid(connection: Connection, names: Names) -> int | None:
    # to_regclass() reads names that are quoted as format() quotes them.
    query = "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text))::oid::bigint"
    oid = scalar(connection, query, [names.schema, names.plain("new")])
    return None if oid is None else int(str(oid))


def copied_files(control: Connection, names: Names) -> dict[str, Digest]:
    """The digest of each file that has been copied, by the file's name."""
    rows = control.execute(
        sql.SQL("SELECT file, rows, items, total::text FROM {}").format(names.files)
    )
    return {
        str(file): Digest(int(str(row_count)), int(str(items)), int(str(hash_sum)))
        for file, row_count, items, hash_sum in rows
    }


class FileCopier:
    """Copies files into the new table, each over a connection of its own."""

    def __init__(self, source: Source, address: Address, names: Names, new_oid: int) -> None:
        self._source, self._address, self._names, self._oid = source, address, names, new_oid

    def copy(self, number: int, meter: Meter) -> None:
        """Copy a file and record that, in one transaction."""
        with (
            server_errors(self._address),
            connect(self._address) as connection,
            connection.transaction(),
        ):
            # The server may have ended the connection that holds the lock, and given the lock to
            # another export, which has a new table of its own.
            if _new_table_oid(connection, self._names) != self._oid:
                raise StageError("export: another export has taken this one's place")
            digest = self._copy_rows(connection, number, meter)
            connection.execute(
                sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s::numeric)").format(
                    self._names.files
                ),
                [self._source.name(number), digest.rows, digest.items, str(digest.hash_sum)],
            )

    def _copy_rows(self, connection: Connection, number: int, meter: Meter) -> Digest:
        digest = Digest()
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            self._names.new, sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        )
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for batch in self._source.batches(number):
                    meter.add(batch.num_rows)
                    copy.write(_csv(batch))
                    digest += row_digest(batch)
            if cursor.rowcount != digest.rows:
                raise StageError(
                    f"export: the server took {cursor.rowcount} rows, not {digest.rows}, of "
                    f"{self._source.name(number)}; run it again"
                )
        return digest


def _csv(batch: pa.RecordBatch) -> bytes:
    """Rows in the CSV format that COPY reads.

    Raises:
        StageError: an id holds a NUL, which PostgreSQL's text can't.
    """
    buffer = io.BytesIO()
    pa_csv.write_csv(batch.select(list(COLUMNS)), buffer, _CSV)
    content = buffer.getvalue()
    if b"\0" in content:
        ids = chain(*(batch.column(name).to_pylist() for name in ("item_id", "similar_id")))
        item = next(item_id for item_id in ids if item_id and "\0" in item_id)
        raise StageError(
            f"export: the item {item!r} has a NUL character in its id, which PostgreSQL can't "
            "store; give it another id in the catalogue"
        )
    return content
