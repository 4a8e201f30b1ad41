"""The rows of a catalogue, with the reasons against each."""

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from models.stores import StoreOptions
from pipeline import catalogue
from pipeline.config.sections import CatalogueSection
from pipeline.stages.ingest import validation


def source(**settings: Any) -> catalogue.Source:
    """The source of settings of [catalogue]."""
    return catalogue.Source.from_config(CatalogueSection(**settings), StoreOptions())


def flagged(spark: SparkSession, path: Path, **settings: Any) -> list[dict[str, Any]]:
    """The rows as the stage ingest flags them, by their ids."""
    chosen = source(path=str(path), **settings)
    raw = catalogue.read(spark, chosen)
    frame = validation.flag_rows(raw, catalogue.item_columns(raw, chosen))
    rows = validation.flag_duplicates(frame, validation.duplicate_ids(frame))
    collected = rows.withColumn("row", validation.row_as_text()).collect()
    return sorted((row.asDict() for row in collected), key=lambda row: str(row["item_id"]))
