"""The rows of the table of [edits], checked one by one."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipeline.conditions import ConditionError, Type, parse
from pipeline.errors import InputError
from pipeline.storage.list_schemas import REJECTED_EDITS

# What the table may say of an edit. `note` is the writer's own, and is not read.
COLUMNS = (
    *("item_id", "item_where", "similar_id", "similar_where", "action", "value"),
    *("from", "until"),
)
_NOTE = "note"
ACTIONS = ("boost", "bury", "deny", "pin")
# Boosts are counted in millionths, so that the order in which they are added changes nothing.
MICRO = 1_000_000
# The rows that are in force: bury is a boost less than 0; micro is what is added to the score, or
# a pin's rank, in millionths; reason says why the row is refused.
CHECKED = pa.schema(
    [
        *(REJECTED_EDITS.field(name) for name in COLUMNS),
        ("micro", pa.int64()),
        ("reason", pa.string()),
    ]
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Row = Mapping[str, Any]


def check_columns(names: Collection[str], label: str) -> None:
    """Check the names of the table's columns.

    Raises:
        InputError: action is missing, or a name is none of those that there may be.
    """
    known = ", ".join((*COLUMNS, _NOTE))
    unknown = sorted(set(names) - {*COLUMNS, _NOTE})
    if unknown:
        raise InputError(f"{label}: there is no column {', '.join(unknown)}; there may be: {known}")
    if names and "action" not in names:
        raise InputError(f"{label}: column action is missing; there may be: {known}")


def check(
    batches: Iterator[pa.RecordBatch], columns: Mapping[str, Type], k: int, day: str
) -> Iterator[pa.RecordBatch]:
    """The rows that are in force on a day; those that make no sense have a reason.

    Args:
        batches: COLUMNS, texts, and `unreadable`.
        columns: those that conditions may name, and their types.
        k: neighbours of an item.
        day: YYYY-MM-DD.

    Yields:
        rows of CHECKED.
    """
    for batch in batches:
        rows = []
        for raw in batch.to_pylist():
            row = {name: (raw[name] or "").strip() or None for name in COLUMNS}
            # Ids are as they are in the catalogue, with their blanks.
            row |= {name: raw[name] for name in ("item_id", "similar_id") if row[name]}
            problem = "the row can't be read" if raw["unreadable"] else _date_problem(row)
            if problem or _is_in_force(row, day):
                reason = problem or _problem(row, columns, k)
                # A refused row is kept as it was written.
                rows.append((raw if reason else row | _meaning(row)) | {"reason": reason})
        yield pa.RecordBatch.from_pylist(rows, schema=CHECKED)


def _meaning(row: Row) -> dict[str, Any]:
    value = float(row["value"] or 0)
    if row["action"] == "bury":
        return {"action": "boost", "micro": -round(value * MICRO)}
    return {"micro": round(value * MICRO)}


def _is_in_force(row: Row, day: str) -> bool:
    # Dates are compared as texts.
    return (row["from"] or "") <= day <= (row["until"] or "9999-12-31")


def _problem(row: Row, columns: Mapping[str, Type], k: int) -> str | None:
    """Why a row makes no sense; None if it does."""
    if row["action"] not in ACTIONS:
        return f"action {row['action'] or 'is empty'}: it has to be one of {', '.join(ACTIONS)}"
    for one, other in (("item_id", "item_where"), ("similar_id", "similar_where")):
        if row[one] and row[other]:
            return f"{one} and {other}: give one of them"
    if not row["similar_id"] and not row["similar_where"]:
        return "similar_id or similar_where is needed"
    if row["action"] == "pin" and not row["similar_id"]:
        return "a pin needs similar_id"
    if row["item_id"] and row["item_id"] == row["similar_id"]:
        return "an item is no neighbour of itself"
    return _value_problem(row, k) or _condition_problem(row, columns)


def _value_problem(row: Row, k: int) -> str | None:
    action, text = row["action"], row["value"]
    if action == "deny":
        return "value: deny has none" if text else None
    try:
        value = float(text or "")
    except ValueError:
        return f"value {text or 'is empty'}: it has to be a number"
    if action == "pin":
        is_rank = value.is_integer() and 1 <= value <= k
        return None if is_rank else f"value {text}: a pin's is a rank, from 1 to neighbors.k, {k}"
    is_weight = 1 / MICRO <= value <= 1
    return None if is_weight else f"value {text}: it has to be above 0 and at most 1"


def _date_problem(row: Row) -> str | None:
    for name in ("from", "until"):
        if row[name] and not _is_date(row[name]):
            return f"{name} {row[name]}: no date; write it as 2026-01-31"
    if row["from"] and row["until"] and row["from"] > row["until"]:
        return f"from {row['from']} is after until {row['until']}"
    return None


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _condition_problem(row: Row, columns: Mapping[str, Type]) -> str | None:
    # Descriptions are not in the details table, from which inspect and query explain a rank.
    columns = {name: kind for name, kind in columns.items() if name != "description"}
    for name in ("item_where", "similar_where"):
        problem = _parse_problem(row[name], tuple(columns.items())) if row[name] else None
        if problem:
            return f"{name}: {problem}"
    return None


@lru_cache(maxsize=1024)
def _parse_problem(text: str, columns: tuple[tuple[str, Type], ...]) -> str | None:
    try:
        parse(text, dict(columns))
    except ConditionError as error:
        return str(error)
    return None
