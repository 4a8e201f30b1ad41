"""Reading a catalogue, from files, a table or a query; its columns mapped and checked."""

from typing import TYPE_CHECKING

from pipeline.catalogue import readers, tables
from pipeline.catalogue.columns import (
    NUMBERS_LOST,
    further_of,
    is_blank,
    is_parsed_text,
    item_columns,
)
from pipeline.catalogue.files import (
    CORRUPT,
    CORRUPT_REASON,
    Source,
    data_columns,
    format_of,
    identity,
    total_bytes,
)
from pipeline.catalogue.places import resolve, today, with_dates
from pipeline.catalogue.readers import explained_damage, read
from pipeline.catalogue.tables import Snapshot, TableSource, as_json
from pipeline.config.sections import Config

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = [
    "CORRUPT",
    "CORRUPT_REASON",
    "NUMBERS_LOST",
    "Snapshot",
    "Source",
    "TableSource",
    "as_json",
    "data_columns",
    "explained_damage",
    "format_of",
    "further_of",
    "identity",
    "is_blank",
    "is_parsed_text",
    "item_columns",
    "open_snapshot",
    "peek",
    "read",
    "resolve",
    "source_of",
    "today",
    "total_bytes",
    "with_dates",
]


def source_of(config: Config) -> Source | TableSource:
    """What a config names as its catalogue."""
    if config.catalogue.uses_files:
        return Source.from_config(config.catalogue, config.object_stores())
    return TableSource.from_config(config.catalogue)


def open_snapshot(spark: "SparkSession", source: Source | TableSource) -> Snapshot:
    """The state that a catalogue has now, and its rows.

    Raises:
        InputError: it can't be read.
        UsageError: a setting names what is not there.
    """
    if isinstance(source, TableSource):
        return tables.open_snapshot(spark, source)
    return Snapshot(identity(source), readers.read(spark, source))


def peek(spark: "SparkSession", source: Source | TableSource) -> "DataFrame":
    """A catalogue's rows as they are when they are read; to ask for them reads few or none.

    Raises:
        InputError: it can't be read.
        UsageError: a setting names what is not there.
    """
    if isinstance(source, TableSource):
        return tables.peek(spark, source)
    return readers.read(spark, source)
