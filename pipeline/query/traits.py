"""The columns that rules read of a query, computed as Spark computes the catalogue's."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.conditions import ConditionError, columns_of, parse
from pipeline.conditions.evaluation import value_of
from pipeline.config.sections import RankSection, RulesSection
from pipeline.errors import UsageError
from pipeline.query.edits import EditsOfIds, VersionEdits
from pipeline.query.spark_format import (
    Value,
    as_condition_row,
    cast_to_string,
    is_blank,
    struct_to_json,
    xxhash64,
)
from pipeline.storage.list_schemas import QUERY_TRAITS, TRAITS

SCHEMA = pa.schema([TRAITS.field(name) for name in QUERY_TRAITS])


def query_traits(
    items: pa.RecordBatch,
    rules: RulesSection,
    rank: RankSection,
    edits: VersionEdits,
    found: EditsOfIds,
) -> pa.RecordBatch:
    """What the rules on pairs and the boosts read of queries.

    Args:
        items: the columns of the items table; item_id is null for texts that are no item.
        rules: the rules.
        rank: the boosts.
        edits: the edits.
        found: those that name the items.

    Returns:
        rows of SCHEMA.
    """
    rows = []
    for item in items.to_pylist():
        row: dict[str, Any] = {}
        if rules.same:
            row["same"] = struct_to_json((name, _known(item[name])) for name in rules.same)
        if rules.price_ratio or rank.price:
            row["price"] = item["price"]
        row["differ"] = [hash_of(item[name]) for name in rules.differing] or None
        row["matches"] = [hash_of(item[name]) for name in sorted(rank.same)] or None
        if pairs := found.pairs.get(item["item_id"]):
            row["edits"] = [{"similar_id": i, "boost": b} for i, b in sorted(pairs.items())]
        if edits.state.numbered:
            row["edited_as_item"] = edits.bits_as_item(item)
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def hash_of(value: Value) -> int:
    """The hash of a value; 0 if it is missing or blank."""
    text = cast_to_string(value)
    return 0 if text is None or is_blank(text) else xxhash64(text)


def _known(value: Value) -> Value:
    """A value; None if it is a blank text."""
    return None if isinstance(value, str) and is_blank(value) else value


def gets_list(items: pa.RecordBatch, rules: RulesSection, further: Mapping[str, str]) -> list[bool]:
    """Which items get a list by rules.query: where it is unknown, they get none.

    Args:
        items: the columns of the items table.
        rules: the rules.
        further: the types of the further columns.

    Raises:
        UsageError: the version was made by a release that took other conditions.
    """
    if not rules.query:
        return [True] * items.num_rows
    try:
        condition = parse(rules.query, columns_of(further))
    except ConditionError as error:
        raise UsageError(
            f"the version's rules.query, {rules.query}: {error}; change it and run again: "
            "nitamono run --config FILE"
        ) from error
    return [value_of(condition, as_condition_row(item)) is True for item in items.to_pylist()]
