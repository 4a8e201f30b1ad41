"""The columns of the items table, made of a catalogue's."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.catalogue.files import WHOLE_FORMATS, Source, data_columns, format_of
from pipeline.catalogue.tables import TableSource
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError
from pipeline.store.schemas import ITEMS, items_schema, spark_types

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Column: whether a row has a value that is not of its column's type (a price that is no number, a
# date that is none), which so becomes null.
NUMBERS_LOST = "numbers_lost"
_WHOLE_NUMBERS = {"tinyint", "smallint", "int", "bigint"}


def item_columns(frame: "DataFrame", source: Source | TableSource) -> "list[Column]":
    """The columns of the items table, made of the catalogue's, and NUMBERS_LOST.

    Args:
        frame: the catalogue's rows, from `read`.
        source: the catalogue, which says how its columns are called.

    Raises:
        InputError: a column is missing or can't be used; the message names all of them.
    """
    from pyspark.sql import functions as F

    names = data_columns(frame)
    types = {name: spark_type for name, spark_type in frame.dtypes if name in names}
    if not types:
        raise InputError(f"{source.label}: holds no row that can be read")
    problems: list[str] = []
    columns: list[Column] = []
    lost, is_text = F.lit(False), is_parsed_text(source)
    for name, item_type in spark_types(items_schema(source.further)).items():
        source_name = source.source_name(name)
        if source_name in types:
            if problem := _type_problem(name, item_type, types[source_name]):
                problems.append(f"column {source_name} (for {name}): {problem}")
            column = frame[f"`{source_name.replace('`', '``')}`"]
            if item_type == "string":
                cast = _text(column, types[source_name], is_text=is_text)
            else:
                cast = column.try_cast(item_type)
                if item_type == "double":
                    # Adding 0 makes 0 of -0: rules compare values as texts.
                    cast = cast + F.lit(0.0)
                if item_type == "date":
                    # Other years are slips of the pen, and programs can't read them.
                    cast = F.when(F.year(cast).between(1, 9999), cast)
                lost = lost | (~is_blank(column.cast("string")) & cast.isNull())
            columns.append(cast.alias(name))
        elif source.columns.get(name) or name in ("item_id", "title"):
            problems.append(f"column {source_name} (for {name}) is missing")
        else:
            columns.append(F.lit(None).cast(item_type).alias(name))
    if problems:
        raise InputError(
            f"{source.label}: {'; '.join(problems)}. "
            f"It has: {', '.join(types)}. Map them with [catalogue] columns; "
            'an optional one is left out by columns = { description = "" }'
        )
    return [*columns, lost.alias(NUMBERS_LOST)]


def further_of(reading: Mapping[str, Any]) -> dict[str, str]:
    """The types of the further columns of an items table, in the order of their names.

    Args:
        reading: the catalogue's settings, as the inputs of the stage ingest have them.
    """
    section = CatalogueSection(
        path="catalogue", columns=reading["columns"], types=reading.get("types", {})
    )
    return section.further


def is_parsed_text(source: Source | TableSource) -> bool:
    """Whether the catalogue is text that is parsed into rows, which takes time."""
    return isinstance(source, Source) and format_of(source) not in WHOLE_FORMATS


def _type_problem(name: str, item_type: str, spark_type: str) -> str:
    """Why a column of this type can't become the item's column; empty if it can.

    Args:
        name: the item's column.
        item_type: its type.
        spark_type: the type of the catalogue's column.
    """
    whole = spark_type in _WHOLE_NUMBERS or bool(re.fullmatch(r"decimal\(\d+,0\)", spark_type))
    if item_type == "double":
        numeric = whole or spark_type in ("string", "double", "float", "boolean", "void")
        usable = numeric or spark_type.startswith("decimal")
        return "" if usable else f"{spark_type}, not a number"
    if item_type == "boolean":
        usable = whole or spark_type in ("string", "boolean", "void")
        return "" if usable else f"{spark_type}, not true or false"
    if item_type == "date":
        usable = spark_type in ("string", "date", "void") or spark_type.startswith("timestamp")
        return "" if usable else f"{spark_type}, not a date"
    if name != "item_id" and (element := _element_type(spark_type)):
        spark_type = element
        whole = element in _WHOLE_NUMBERS
    # A column that holds nulls only has any type: its writer had to choose one.
    usable = whole or spark_type in ("string", "binary", "void")
    hint = "" if name in ITEMS.names else "; give it a type in catalogue.types"
    return "" if usable else f"{spark_type}, not string or integer{hint}"


def _element_type(spark_type: str) -> str:
    """The type of an array's elements; empty for other types."""
    return spark_type[len("array<") : -1] if spark_type.startswith("array<") else ""


def _text(column: "Column", spark_type: str, *, is_text: bool) -> "Column":
    """A column as text: the elements of an array are joined, bytes are taken for UTF-8.

    What is not UTF-8, which only formats of text prevent, becomes U+FFFD.
    """
    from pyspark.sql import functions as F

    if element := _element_type(spark_type):
        column = F.array_join(column.cast("array<string>"), " ")
        spark_type = element
    text = column.try_cast("string")
    return text if is_text or spark_type not in ("string", "binary") else F.make_valid_utf8(text)


def is_blank(column: "Column") -> "Column":
    """Whether a text is null or holds only white space, of any script."""
    from pyspark.sql import functions as F

    blank = F.lit(r"(?U)\A\s*\z")
    # A regular expression makes a copy of the text that it reads: mostly the first character tells.
    starts_blank = F.regexp_like(F.substring(column, 1, 1), blank)
    return column.isNull() | (starts_blank & F.regexp_like(column, blank))
