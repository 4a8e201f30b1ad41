"""Columns computed from the tokens table: all tokens of an item, and their number."""

import operator
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pyspark.sql import Column


def joined() -> "Column":
    """All tokens of a row of the tokens table, separated by single spaces."""
    from pyspark.sql import functions as F

    return F.trim(F.concat_ws(" ", "title_tokens", "description_tokens"))


def count(*names: str) -> "Column":
    """The number of tokens in columns of the tokens table, added up."""
    from pyspark.sql import functions as F

    counts = [
        F.when(F.col(name) == "", 0).otherwise(
            F.length(name) - F.length(F.replace(name, F.lit(" "))) + 1
        )
        for name in names
    ]
    return reduce(operator.add, counts)


def sums(rows: pa.Table) -> dict[str, int]:
    """How many tokens rows of the tokens table have, and how many rows have none."""
    numbers = sum(
        np.asarray(pc.if_else(pc.equal(column, ""), 0, pc.add(pc.count_substring(column, " "), 1)))
        for column in (rows["title_tokens"], rows["description_tokens"])
    )
    return {"tokens": int(np.sum(numbers)), "items_without_tokens": int(np.sum(numbers == 0))}
