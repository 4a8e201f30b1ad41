"""Columns of the tokens table, and computed from it: all tokens of an item, and their number."""

import operator
from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pyspark.sql import Column


TEXTS = ("title_tokens", "description_tokens")


def names(columns: Iterable[str]) -> list[str]:
    """The columns of tokens among those of a tokens table: title, description, and fields."""
    return [name for name in columns if name.endswith("_tokens")]


def joined(columns: Iterable[str] = TEXTS) -> "Column":
    """All tokens in columns of a row of the tokens table, separated by single spaces."""
    from pyspark.sql import functions as F

    return F.concat_ws(" ", *(F.nullif(F.col(name), F.lit("")) for name in columns))


def count(columns: Iterable[str]) -> "Column":
    """The number of tokens in columns of the tokens table, added up."""
    from pyspark.sql import functions as F

    counts = [
        F.when(F.col(name) == "", 0).otherwise(
            F.length(name) - F.length(F.replace(name, F.lit(" "))) + 1
        )
        for name in columns
    ]
    return reduce(operator.add, counts)


def sums(rows: pa.Table) -> dict[str, int]:
    """How many tokens rows of the tokens table have, and how many rows have none."""
    numbers = sum(
        np.asarray(pc.if_else(pc.equal(column, ""), 0, pc.add(pc.count_substring(column, " "), 1)))
        for column in map(rows.column, names(rows.column_names))
    )
    return {"tokens": int(np.sum(numbers)), "items_without_tokens": int(np.sum(numbers == 0))}
