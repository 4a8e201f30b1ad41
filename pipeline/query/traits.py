"""What rules read of an item that is asked for, as Spark makes it for the catalogue's."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline import catalogue
from pipeline.catalogue.files import ENDINGS
from pipeline.config.sections import CatalogueSection, Config, RulesSection
from pipeline.errors import UsageError
from pipeline.query import conditions
from pipeline.query.spark_values import blank, struct_json, text_of, xxhash64
from pipeline.storage.clustered_tables import TRAITS

SCHEMA = pa.schema([TRAITS.field(name) for name in ("same", "price", "variant", "denied")])


@dataclass(frozen=True)
class Denied:
    """What rules.deny's file holds.

    Attributes:
        pairs: which items may not stand in an item's list.
        alone: items that may stand in no list.
    """

    pairs: dict[str, list[str]]
    alone: set[str]


NOTHING_DENIED = Denied({}, set())


def of(items: pa.RecordBatch, section: RulesSection | None, denied: Denied) -> pa.RecordBatch:
    """What the rules on pairs read of some items: SCHEMA.

    Args:
        items: the columns of the items table; item_id null where the item has none.
        section: the rules; None if there are none.
        denied: what their file holds.
    """
    rows = []
    for item in items.to_pylist():
        row: dict[str, Any] = {}
        if section is not None and section.same:
            row["same"] = struct_json((name, item[name]) for name in section.same)
        if section is not None and section.price_ratio:
            row["price"] = item["price"]
        if section is not None and section.collapse:
            value = text_of(item[section.collapse])
            row["variant"] = 0 if value is None or blank(value) else xxhash64(value)
        if item["item_id"] is not None:
            row["denied"] = denied.pairs.get(item["item_id"])
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def asking(items: pa.RecordBatch, section: RulesSection | None) -> list[bool] | None:
    """Which items get a list by rules.query; None where that can't be told without Spark."""
    if section is None or not section.query:
        return [True] * items.num_rows
    return conditions.holds(section.query, items.to_pylist())


def denied_of(config: Config, section: RulesSection | None, state: object) -> Denied:
    """What the file of rules.deny holds.

    Args:
        config: how object stores are reached.
        section: the rules.
        state: of the file when the version was made.

    Raises:
        UsageError: the file is not what it was.
    """
    if section is None or not section.deny:
        return NOTHING_DENIED
    source = catalogue.Source.from_config(CatalogueSection(path=section.deny), config.s3.options())
    try:
        now: object = catalogue.identity(source)
    except Exception as error:
        raise UsageError(f"rules.deny {section.deny}: can't be read: {error}") from error
    if now != state:
        raise UsageError(
            f"rules.deny {section.deny}: has changed since the version was made; "
            "run again: nitamono run --config FILE"
        )
    return _read(source)


def _read(source: catalogue.Source) -> Denied:
    from pipeline.query import questions

    pairs: dict[str, set[str]] = {}
    alone: set[str] = set()
    kinds = {"csv": questions.csv_rows, "jsonl": questions.jsonl_rows,
             "parquet": questions.parquet_rows}  # fmt: skip
    for file in catalogue.files.list_files(source):
        kind = next((ENDINGS[end] for end in reversed(file.suffixes) if end in ENDINGS), "csv")
        for row in kinds[kind](file):
            item, other = (questions.text(row.get(name)) for name in ("item_id", "similar_id"))
            if item is None:
                continue
            if blank(other):
                alone.add(item)
            else:
                pairs.setdefault(item, set()).add(str(other))
    return Denied({item: sorted(others) for item, others in pairs.items()}, alone)
