"""Conditions in SQL on a few items, evaluated without Spark, by SQLite.

The conditions that shops write as rules.query (comparisons, IN, LIKE, BETWEEN, IS NULL) mean the
same in both. A condition that SQLite can't parse is not evaluated.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from pipeline.store.schemas import ITEMS, spark_types

_TYPES = {"string": "TEXT", "double": "REAL"}


def evaluate(condition: str, items: Sequence[Mapping[str, object]]) -> list[bool] | None:
    """Evaluate a condition for each item; if it is null because a value is missing, it is false.

    Args:
        condition: a condition on columns of the items table.
        items: values by column; columns that are left out are missing.

    Returns:
        None if SQLite can't parse the condition.
    """
    names, types = ITEMS.names, spark_types(ITEMS)
    columns = ", ".join(f"{name} {_TYPES[types[name]]}" for name in names)
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA case_sensitive_like = ON")
        # SQLite's own functions change ASCII letters only.
        for name, function in (("lower", str.lower), ("upper", str.upper)):
            database.create_function(name, 1, _for_text(function), deterministic=True)
        database.execute(f"CREATE TABLE items (position INTEGER, {columns})")
        marks = ", ".join("?" * (len(names) + 1))
        database.executemany(
            f"INSERT INTO items VALUES ({marks})",  # noqa: S608 - question marks
            [(row, *(item.get(name) for name in names)) for row, item in enumerate(items)],
        )
        # The condition is from the config, whose author may run any SQL in Spark too.
        query = f"SELECT coalesce(({condition}), 0) FROM items ORDER BY position"  # noqa: S608
        try:
            return [bool(row[0]) for row in database.execute(query)]
        except (sqlite3.Error, sqlite3.Warning):
            return None


def _for_text(function: Callable[[str], str]) -> Callable[[str | float | None], str | float | None]:
    return lambda value: function(value) if isinstance(value, str) else value
