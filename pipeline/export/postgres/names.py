"""The names of an export's tables and indexes in PostgreSQL."""

from dataclasses import dataclass

from psycopg import sql

from pipeline.errors import UsageError
from pipeline.export.postgres.server import Connection, scalar

# PostgreSQL cuts names after 63 bytes; the longest name beside a table's own ends like this.
_MAX_BYTES = 63 - len("__nitamono_old_4294967295")


@dataclass(frozen=True)
class Names:
    """The names of a table and of what an export puts beside it, as they are, not quoted.

    Attributes:
        schema: the schema of them all.
        table: the table that readers see.
    """

    schema: str
    table: str

    @classmethod
    def parse(cls, connection: Connection, text: str) -> "Names":
        """Parse the value of --table: NAME or SCHEMA.NAME.

        Raises:
            UsageError: the name is too long, or there is no such schema.
        """
        first, point, rest = text.partition(".")
        schema, table = (first, rest) if point else ("", first)
        if not table or len(table.encode()) > _MAX_BYTES:
            raise UsageError(f"--table {text}: a name has 1 to {_MAX_BYTES} bytes")
        existing = scalar(
            connection,
            "SELECT nspname FROM pg_namespace "
            "WHERE nspname = coalesce(nullif(%s, ''), current_schema())",
            [schema],
        )
        if existing is None:
            raise UsageError(f"--table {text}: the database has no such schema; create it first")
        return cls(str(existing), table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    def plain(self, suffix: str) -> str:
        """The name of a table or index beside the table, without the schema."""
        return f"{self.table}__nitamono_{suffix}"

    def qualified(self, suffix: str) -> sql.Identifier:
        """The same name with the schema."""
        return sql.Identifier(self.schema, self.plain(suffix))

    @property
    def live(self) -> sql.Identifier:
        """The table that readers see."""
        return sql.Identifier(self.schema, self.table)

    @property
    def new(self) -> sql.Identifier:
        """The table that is filled."""
        return self.qualified("new")

    @property
    def files(self) -> sql.Identifier:
        """The table of the files that have been copied into the new table."""
        return self.qualified("files")

    @property
    def old(self) -> sql.Identifier:
        """The table that readers saw before the swap."""
        return self.qualified("old")
