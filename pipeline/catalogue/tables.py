"""A catalogue that Spark reads by name: a table, a query, or a connector."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import redaction
from pipeline.config.sections import CatalogueSection
from pipeline.config.sections.locations import ENVIRONMENT_NAME
from pipeline.errors import InputError, NitamonoError, UsageError, cause
from pipeline.spark import connectors
from pipeline.spark.failures import describe_failure

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NUMBER = re.compile(r"\d{1,19}")
_NO_TABLE = (
    "TABLE_OR_VIEW_NOT_FOUND",
    "NoSuchTable",
    "NoSuchNamespace",
    "SCHEMA_NOT_FOUND",
    # What Spark says where no catalog has the first part of the name.
    "REQUIRES_SINGLE_PART_NAMESPACE",
)
_NO_CLASS = ("ClassNotFoundException", "DATA_SOURCE_NOT_FOUND", "CATALOG_NOT_FOUND")


@dataclass(frozen=True)
class TableSource:
    """A catalogue that Spark reads by name.

    Attributes:
        setting: table, query or format.
        name: the table, the query or the connector.
        as_of: a snapshot, version or time of the table; empty for its present state.
        path: what the connector loads; empty if its options say it.
        options: of the connector.
        columns: nitamono's columns and what the table calls them; empty: the column is left out.
        further: the types of the further columns.
    """

    setting: str
    name: str
    as_of: str
    path: str
    options: dict[str, str]
    columns: dict[str, str]
    further: dict[str, str]

    @classmethod
    def from_config(cls, section: CatalogueSection) -> "TableSource":
        """The source that a section of the config names."""
        setting = "table" if section.table else "query" if section.query else "format"
        return cls(
            setting,
            getattr(section, setting),
            section.as_of,
            section.path,
            section.options,
            section.columns,
            section.further,
        )

    @property
    def label(self) -> str:
        """The setting and its value, for messages."""
        return f"catalogue.{self.setting} {' '.join(self.name.split())[:100]}"

    def source_name(self, column: str) -> str:
        """What the table calls a column of nitamono's; empty if it is left out."""
        return self.columns.get(column, column)


@dataclass(frozen=True)
class Snapshot:
    """One state of a catalogue.

    Attributes:
        state: tells this state from others.
        rows: reads this state.
        content: the digest of the rows, if nothing but the rows themselves tells their state.
    """

    state: list[list[object]]
    rows: "DataFrame"
    content: str = ""

    def release(self) -> None:
        """Give back the disk that the rows take, if they were read for their digest."""
        if self.content:
            from py4j.protocol import Py4JError

            # Of a JVM that has died, nothing is to be given back.
            with suppress(OSError, Py4JError):
                self.rows.unpersist()


def open_snapshot(spark: "SparkSession", source: TableSource) -> Snapshot:
    """The state of the table now, or as of the time that is set.

    A snapshot of Iceberg and a version of Delta Lake are their numbers. The rows of all others are
    read once, to Spark's disks, and their digest is the state.

    Raises:
        InputError: the table is missing, or can't be read.
        UsageError: as_of names no state of the table.
    """
    from pyspark import StorageLevel

    from pipeline.store.schemas import digest

    with explained_failures(source):
        if source.setting == "table":
            kind = connectors.table_format(spark, source.name)
            if kind in _VERSIONS:
                identity, version = _VERSIONS[kind](spark, source)
                if version is None:  # Iceberg's table without any snapshot
                    return Snapshot([[kind, identity]], spark.table(source.name))
                rows = spark.sql(f"SELECT * FROM {source.name} VERSION AS OF {version}")  # noqa: S608 - the name is the user's own, and Spark has parsed it
                return Snapshot([[kind, identity, version]], rows)
            if source.as_of:
                raise UsageError(
                    f"catalogue.as_of {source.as_of}: {source.name} has no versions (it is "
                    f"{kind or 'a view'}); tables of Iceberg and Delta Lake have them"
                )
        rows = _read(spark, source).persist(StorageLevel.DISK_ONLY)
        content = digest(as_json(rows))
    return Snapshot([["rows", content]], rows, content)


def peek(spark: "SparkSession", source: TableSource) -> "DataFrame":
    """The table's rows as they are when they are read, whatever as_of says.

    Raises:
        InputError: the table is missing, or can't be read.
    """
    with explained_failures(source):
        return _read(spark, source)


def as_json(rows: "DataFrame") -> "DataFrame":
    """Each row in JSON: one column, which can be hashed whatever the types of the others."""
    from pyspark.sql import functions as F

    columns = [F.col(f"`{name.replace('`', '``')}`") for name in rows.columns]
    return rows.select(F.to_json(F.struct(*columns)).alias("row"))


def _read(spark: "SparkSession", source: TableSource) -> "DataFrame":
    if source.setting == "table":
        return spark.table(source.name)
    if source.setting == "query":
        # Where a subquery stands, Spark's grammar takes what reads and nothing that writes.
        return spark.sql(f"SELECT * FROM (\n{source.name.strip().rstrip(';')}\n)")  # noqa: S608 - the query is the user's own
    reader = spark.read.format(source.name).options(**_expanded(source.options))
    return reader.load(source.path) if source.path else reader.load()


def _expanded(options: dict[str, str]) -> dict[str, str]:
    """The options with the environment's variables in them.

    Raises:
        UsageError: there is no such variable.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"catalogue.options: there is no environment variable {match[1]}")
        secret = os.environ[match[1]]
        redaction.remember(secret)
        return secret

    return {name: ENVIRONMENT_NAME.sub(value, text) for name, text in options.items()}


def _iceberg_version(spark: "SparkSession", source: TableSource) -> tuple[str, int | None]:
    """The table's name and the number of its snapshot; None without any."""
    from pyspark.sql import functions as F

    name, as_of = source.name, source.as_of
    numbers = spark.table(f"{name}.refs").where(F.col("name") == (as_of or "main"))
    first = numbers.select("snapshot_id").first()
    if first is None and as_of:
        if _NUMBER.fullmatch(as_of):
            numbers = spark.table(f"{name}.snapshots").where(F.col("snapshot_id") == int(as_of))
        else:
            history = spark.table(f"{name}.history")
            history = history.where(F.col("made_current_at") <= F.lit(_time(source)))
            numbers = history.orderBy(F.col("made_current_at").desc())
        first = numbers.select("snapshot_id").first()
        if first is None:
            raise UsageError(
                f"catalogue.as_of {as_of}: {name} has no such snapshot, branch or tag, and none of "
                f"that time; the table {name}.history lists them"
            )
    return name, None if first is None else int(first["snapshot_id"])


def _delta_version(spark: "SparkSession", source: TableSource) -> tuple[str, int]:
    """The table's id and version."""
    from pyspark.sql import functions as F

    name, as_of = source.name, source.as_of
    identity = spark.sql(f"DESCRIBE DETAIL {name}").first()
    assert identity is not None  # noqa: S101 - a table of Delta Lake has one
    history = spark.sql(f"DESCRIBE HISTORY {name}{'' if as_of else ' LIMIT 1'}")
    if _NUMBER.fullmatch(as_of):
        history = history.where(F.col("version") == int(as_of))
    elif as_of:
        history = history.where(F.col("timestamp") <= F.lit(_time(source)))
    newest = history.agg({"version": "max"}).first()
    version = newest[0] if newest is not None else None
    if version is None:
        raise UsageError(
            f"catalogue.as_of {as_of}: {name} has no such version; DESCRIBE HISTORY {name} lists "
            "them"
        )
    return str(identity["id"]), int(version)


def _time(source: TableSource) -> datetime:
    """The time that as_of is; in UTC, if it has no time zone.

    Raises:
        UsageError: it is no time.
    """
    try:
        time = datetime.fromisoformat(source.as_of)
    except ValueError as error:
        raise UsageError(
            f"catalogue.as_of {source.as_of}: {source.name} has no such snapshot, branch or tag, "
            "and it is no time like 2026-11-28T03:00"
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_VERSIONS = {"iceberg": _iceberg_version, "delta": _delta_version}


@contextmanager
def explained_failures(source: TableSource) -> Iterator[None]:
    """Turn what Spark raises over a table into an InputError that names it."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except NitamonoError:
        raise
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if describe_failure(
            text
        ):  # a full disk, a lost executor: whoever runs the stage explains it
            raise
        why = cause(error)
        if source.setting == "query" and "PARSE_SYNTAX_ERROR" in text:
            raise UsageError(f"{source.label}: is no single SELECT: {why}") from error
        if any(code in text for code in _NO_TABLE):
            hint = "; look at the name, and at spark.sql.catalog... in [spark]"
        elif any(code in text for code in _NO_CLASS):
            hint = f"; {connectors.advice()}"
        elif "No suitable driver" in text:
            hint = "; set the option driver, to org.postgresql.Driver for instance"
        elif "UNRESOLVED_COLUMN" in text:
            hint = "; upper and lower case make different names here"
        else:
            hint = ""
        raise InputError(f"{source.label}: can't be read: {why}{hint}") from error
