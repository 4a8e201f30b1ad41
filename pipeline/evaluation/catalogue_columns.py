"""Columns of the catalogue as it was read, for items of the sample: what labels and groups are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline import catalogue
from pipeline.errors import InputError, UsageError
from pipeline.stages.ingest import validation
from pipeline.store import reason_codes
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Source = catalogue.Source | catalogue.TableSource


def read_catalogue(
    spark: "SparkSession", source: Source, columns: Sequence[str]
) -> catalogue.Snapshot:
    """Read the catalogue and check that it has some columns.

    Raises:
        UsageError: a column is missing.
        InputError: the catalogue can't be read.
    """
    snapshot = catalogue.open_snapshot(spark, source)
    raw = snapshot.rows
    catalogue.item_columns(raw, source)
    names = catalogue.data_columns(raw)
    missing = [name for name in columns if _name_in(source, names, name) not in names]
    if missing:
        raise UsageError(
            f"--label or --group {', '.join(missing)}: no such column in {source.label}; "
            f"it has: {', '.join(names)}"
        )
    return snapshot


def _name_in(source: Source, names: Sequence[str], name: str) -> str:
    """What the catalogue calls a column that is named as the catalogue or as nitamono calls it."""
    return name if name in names else source.source_name(name)


def collect_texts(
    snapshot: catalogue.Snapshot,
    source: Source,
    ingest_record: StageRecord,
    ids: "DataFrame",
    columns: Sequence[str],
) -> pa.Table:
    """Columns of the sample's items, by item_id, of the rows that ingest kept.

    Returns:
        item_id string, and column_0, column_1, ... string, null where blank.

    Raises:
        InputError: the catalogue has changed since the stages have read it.
    """
    from pyspark.sql import functions as F

    raw, state = snapshot.rows, snapshot.state
    with catalogue.explained_damage(source):
        rows = semi(validation.flag_rows(raw, catalogue.item_columns(raw, source)), ids)
        if reason_codes.DUPLICATE_ITEM_ID in ingest_record.counts["quarantine_reasons"]:
            rows = validation.flag_duplicates(rows, validation.duplicate_ids(rows))
        names = catalogue.data_columns(raw)
        texts = [F.col("raw").getField(_name_in(source, names, name)) for name in columns]
        table = collect(rows.where(F.size("reasons") == 0), ids, **as_texts(texts))
    snapshot.release()
    if isinstance(source, catalogue.Source):
        state = catalogue.identity(source)
    if state != ingest_record.inputs["files"]:
        raise InputError(
            f"{source.label}: changed while it was read; run again when it is written to its end"
        )
    return table


def as_texts(columns: "Sequence[Column]") -> "dict[str, Column]":
    """Columns as text, null where blank, as column_0, column_1, ..."""
    from pyspark.sql import functions as F

    texts = [column.cast("string") for column in columns]
    return {f"column_{n}": F.when(~catalogue.is_blank(text), text) for n, text in enumerate(texts)}


def semi(frame: "DataFrame", ids: "DataFrame") -> "DataFrame":
    """The rows of some items."""
    from pyspark.sql import functions as F

    return frame.join(F.broadcast(ids), "item_id", how="left_semi")


def collect(frame: "DataFrame", ids: "DataFrame", **columns: "Column") -> pa.Table:
    """Columns of the sample's items, in ascending order of item_id."""
    named = [column.alias(name) for name, column in columns.items()]
    return semi(frame, ids).select("item_id", *named).toArrow().sort_by("item_id")
