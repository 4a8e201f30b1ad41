"""Reading a catalogue: Parquet, CSV or JSON Lines, its columns mapped and checked."""

from pipeline.catalogue.columns import NUMBERS_LOST, is_blank, item_columns
from pipeline.catalogue.files import Source, format_of, identity
from pipeline.catalogue.readers import CORRUPT, explained_damage, read

__all__ = [
    "CORRUPT",
    "NUMBERS_LOST",
    "Source",
    "explained_damage",
    "format_of",
    "identity",
    "is_blank",
    "item_columns",
    "read",
]
