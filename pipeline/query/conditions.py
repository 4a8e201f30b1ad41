"""A condition in SQL on a few items, without Spark: SQLite stands in for it.

What a shop writes as rules.query, comparisons, IN, LIKE, BETWEEN, IS NULL, reads the same in both.
A condition that SQLite can't read has no answer here.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from pipeline.store.schemas import ITEMS, spark_types

_TYPES = {"string": "TEXT", "double": "REAL"}


def holds(where: str, items: Sequence[Mapping[str, object]]) -> list[bool] | None:
    """Whether a condition holds for each item; where a value is missing it does not.

    Args:
        where: the condition, on columns of the items table.
        items: values by column; what is not there is missing.

    Returns:
        None if SQLite can't read the condition.
    """
    columns = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in spark_types(ITEMS).items())
    names = ITEMS.names
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA case_sensitive_like = ON")
        # SQLite's own know ASCII letters only.
        for name, function in (("lower", str.lower), ("upper", str.upper)):
            database.create_function(name, 1, _of_text(function), deterministic=True)
        database.execute(f"CREATE TABLE items (place INTEGER, {columns})")
        marks = ", ".join("?" * (len(names) + 1))
        database.executemany(
            f"INSERT INTO items VALUES ({marks})",  # noqa: S608 - question marks
            [(place, *(item.get(name) for name in names)) for place, item in enumerate(items)],
        )
        try:
            # The condition is the config's own, which Spark is given in the same way.
            asked = f"SELECT coalesce(({where}), 0) FROM items ORDER BY place"  # noqa: S608
            return [bool(row[0]) for row in database.execute(asked)]
        except (sqlite3.Error, sqlite3.Warning):
            return None


def _of_text(function: Callable[[str], str]) -> Callable[[str | float | None], str | float | None]:
    return lambda value: function(value) if isinstance(value, str) else value
