"""The columns of the items table, made of a catalogue's."""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.catalogue.files import WHOLE_FORMATS, Source, data_columns, format_of
from pipeline.catalogue.tables import TableSource
from pipeline.errors import InputError
from pipeline.store.schemas import ITEMS, spark_types

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Column: whether a row has a price or stock that is no number, and so becomes null.
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
    problems = [
        f"catalogue.columns.{name}: unknown; known are {', '.join(ITEMS.names)}"
        for name in source.columns
        if name not in ITEMS.names
    ]
    columns: list[Column] = []
    lost, is_text = F.lit(False), is_parsed_text(source)
    for name, item_type in spark_types(ITEMS).items():
        source_name = source.source_name(name)
        if source_name in types:
            if problem := _type_problem(name, types[source_name]):
                problems.append(f"column {source_name} (for {name}): {problem}")
            column = frame[f"`{source_name.replace('`', '``')}`"]
            if item_type == "double":
                cast = column.try_cast(item_type)
                lost = lost | (~is_blank(column.cast("string")) & cast.isNull())
            else:
                cast = _text(column, types[source_name], is_text=is_text)
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


def is_parsed_text(source: Source | TableSource) -> bool:
    """Whether the catalogue is text that is parsed into rows, which takes time."""
    return isinstance(source, Source) and format_of(source) not in WHOLE_FORMATS


def _type_problem(name: str, spark_type: str) -> str:
    """Why a column of this type can't become the item's column; empty if it can."""
    whole = spark_type in _WHOLE_NUMBERS or bool(re.fullmatch(r"decimal\(\d+,0\)", spark_type))
    if ITEMS.field(name).type == pa.float64():
        numeric = whole or spark_type in ("string", "double", "float", "boolean")
        usable = numeric or spark_type.startswith("decimal")
        return "" if usable else f"{spark_type}, not a number"
    if name != "item_id" and (element := _element_type(spark_type)):
        spark_type = element
        whole = element in _WHOLE_NUMBERS
    # A column that holds nulls only has any type: its writer had to choose one.
    usable = whole or spark_type in ("string", "binary", "void")
    return "" if usable else f"{spark_type}, not string or integer"


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

    return column.isNull() | F.regexp_like(column, F.lit(r"(?U)\A\s*\z"))
