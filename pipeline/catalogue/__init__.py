"""Reading a catalogue: Parquet, CSV or JSON Lines, its columns mapped and checked."""

from pipeline.catalogue.columns import NUMBERS_LOST, is_blank, item_columns
from pipeline.catalogue.files import (
    CORRUPT,
    CORRUPT_REASON,
    Source,
    data_columns,
    format_of,
    identity,
    total_bytes,
)
from pipeline.catalogue.readers import explained_damage, read

__all__ = [
    "CORRUPT",
    "CORRUPT_REASON",
    "NUMBERS_LOST",
    "Source",
    "data_columns",
    "explained_damage",
    "format_of",
    "identity",
    "is_blank",
    "item_columns",
    "read",
    "total_bytes",
]
