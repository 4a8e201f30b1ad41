"""Pandas UDFs under one typed name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyspark.sql import Column


def iterator_udf(schema: str) -> Callable[[Callable[..., Any]], "Callable[..., Column]"]:
    """Make a function from an iterator of batches to one a column function of this schema.

    The function's own annotations tell Spark that it is of the Iterator kind; what it sets up
    before its first batch is set up once a task.
    """
    from pyspark.sql.pandas.functions import pandas_udf

    return cast(
        "Callable[[Callable[..., Any]], Callable[..., Column]]", cast("Any", pandas_udf)(schema)
    )
