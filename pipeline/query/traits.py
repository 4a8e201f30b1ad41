"""The columns that rules read of a query, computed as Spark computes the catalogue's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from pipeline import catalogue
from pipeline.conditions import ConditionError, columns_of, parse
from pipeline.conditions.evaluation import value_of
from pipeline.config.sections import CatalogueSection, Config, RankSection, RulesSection
from pipeline.errors import UsageError
from pipeline.query.spark_casts import to_text
from pipeline.query.spark_format import (
    Value,
    cast_to_string,
    is_blank,
    struct_to_json,
    xxhash64,
)
from pipeline.storage.list_schemas import QUERY_TRAITS, TRAITS

SCHEMA = pa.schema([TRAITS.field(name) for name in QUERY_TRAITS])


@dataclass(frozen=True)
class DenyList:
    """The content of rules.deny's file.

    Attributes:
        pairs: by item, the items that may not be in its list.
        items: items that may be in no list.
    """

    pairs: dict[str, list[str]]
    items: set[str]


EMPTY_DENY_LIST = DenyList({}, set())


def query_traits(
    items: pa.RecordBatch, rules: RulesSection, rank: RankSection, deny_list: DenyList
) -> pa.RecordBatch:
    """What the rules on pairs and the boosts read of queries.

    Args:
        items: the columns of the items table; item_id is null for texts that are no item.
        rules: the rules.
        rank: the boosts.
        deny_list: the content of rules.deny's file.

    Returns:
        rows of SCHEMA.
    """
    rows = []
    for item in items.to_pylist():
        row: dict[str, Any] = {}
        if rules.same:
            row["same"] = struct_to_json((name, item[name]) for name in rules.same)
        if rules.price_ratio or rank.price:
            row["price"] = item["price"]
        row["differ"] = [hash_of(item[name]) for name in rules.differing] or None
        row["matches"] = [hash_of(item[name]) for name in sorted(rank.same)] or None
        if item["item_id"] is not None:
            row["denied"] = deny_list.pairs.get(item["item_id"])
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def hash_of(value: Value) -> int:
    """The hash of a value; 0 if it is missing or blank."""
    text = cast_to_string(value)
    return 0 if text is None or is_blank(text) else xxhash64(text)


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
    return [value_of(condition, _plain(item)) is True for item in items.to_pylist()]


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """An item's values as conditions take them: a date is a text."""
    return {n: v.isoformat() if isinstance(v, date) else v for n, v in item.items()}


def read_deny_list(config: Config, rules: RulesSection, state: object) -> DenyList:
    """Read the file of rules.deny.

    Args:
        config: the way to object stores.
        rules: the rules.
        state: the state of the file when the version was made.

    Raises:
        UsageError: the file has changed since, or can't be read.
    """
    if not rules.deny:
        return EMPTY_DENY_LIST
    source = catalogue.Source.from_config(CatalogueSection(path=rules.deny), config.object_stores())
    try:
        current: object = catalogue.identity(source)
    except Exception as error:
        raise UsageError(f"rules.deny {rules.deny}: can't be read: {error}") from error
    if current != state:
        raise UsageError(
            f"rules.deny {rules.deny}: has changed since the version was made; "
            "run again: nitamono run --config FILE"
        )
    return _read(source)


def _read(source: catalogue.Source) -> DenyList:
    from pipeline.query import questions

    pairs: dict[str, set[str]] = {}
    items: set[str] = set()
    section = CatalogueSection(path=source.path)
    reader = questions.READERS[catalogue.format_of(source)]
    for file in catalogue.files.list_files(source):
        for row in reader(file, section):
            item, other = (to_text(row.get(name)) for name in ("item_id", "similar_id"))
            if item is None:
                continue
            if is_blank(other):
                items.add(item)
            else:
                pairs.setdefault(item, set()).add(str(other))
    return DenyList({item: sorted(others) for item, others in pairs.items()}, items)
