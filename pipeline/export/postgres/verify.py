"""Comparison of the new table with the store's files, before readers see it."""

from psycopg import sql

from pipeline.errors import StageError
from pipeline.export.postgres import digest
from pipeline.export.postgres.digest import Digest
from pipeline.export.postgres.fill import copied_files
from pipeline.export.postgres.names import Names
from pipeline.export.postgres.server import Connection, execute, scalar
from pipeline.export.source import Source


def verify_new_table(control: Connection, names: Names, source: Source) -> tuple[Digest, bool]:
    """Compare the rows of the new table, as the server reads them, with those of the files.

    Returns:
        the table's digest, and whether hashes of the rows were compared too, not only counts.

    Raises:
        StageError: the table is not the same; it is dropped.
    """
    hashed = _has_same_hash(control)
    expected = sum(copied_files(control, names).values(), Digest())
    if not hashed:
        expected = Digest(expected.rows, expected.items)
    actual = _table_digest(control, names, hashed=hashed)
    if actual != expected or actual.rows != source.rows:
        execute(control, "DROP TABLE {}, {}", names.new, names.files)
        raise StageError(
            f"export: the table that was copied is not the store's ({actual.rows:,} rows of "
            f"{actual.items:,} items, {source.rows:,} and {expected.items:,} in the store, or "
            "other values); it was dropped: run it again"
        )
    return actual, hashed


def _has_same_hash(control: Connection) -> bool:
    """Whether the server's hashtextextended() gives the hashes of `digest.hashes`.

    PostgreSQL does not promise that: a server of another byte order, or a later version, may
    compute others.
    """
    query = "SELECT hashtextextended(%s::text, %s)"
    hashes = [int(str(scalar(control, query, probe))) % 2**64 for probe in digest.PROBES]
    return hashes == digest.probe_hashes()


def _table_digest(control: Connection, names: Names, *, hashed: bool) -> Digest:
    hash_sum = sql.SQL(f"sum({digest.SQL})" if hashed else "0")
    query = "SELECT count(*), count(*) FILTER (WHERE rank = 1), ({})::text FROM {}"
    row = control.execute(sql.SQL(query).format(hash_sum, names.new)).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Digest(int(str(row[0])), int(str(row[1])), int(str(row[2] or 0)) % 2**64)
