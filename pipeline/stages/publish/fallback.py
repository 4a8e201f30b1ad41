"""Fills the lists of items with too few neighbours: the tables tops and filled; see [fallback].

`tops` has the first items of each group, with what the rules on pairs read of them, so that a list
that is short meets these and not the whole group. `filled` has the whole lists of the items that
something was filled in; they replace those that were found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections.publishing import FallbackEntry
from pipeline.errors import InputError
from pipeline.retrieval import fallback
from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.stages.context import Job
from pipeline.stages.neighbors import rules
from pipeline.stages.publish import sorted_tables
from pipeline.storage.list_schemas import (
    FILLED,
    FILLED_NEIGHBOR,
    TOP_ITEM,
)
from pipeline.store.arrow_files import Count, Rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# The counts of the stage: rows that fill lists, of how many items; and rows by entry.
FILLED_ROWS, _FILLED_ITEMS, _FILLED_BY = "filled_rows", "filled_items", "filled_by"
_STILL_SHORT, _COMPLETE = "short_after_filling", "complete"
# An item whose list is filled, but for its candidates.
_READ = ("same", "price", "differ", "denied")


@dataclass(frozen=True)
class Filled:
    """What was filled.

    Attributes:
        tables: the rows of each table that was written.
        counts: the counts for run.json.
    """

    tables: dict[str, int]
    counts: dict[str, Any]


def is_on(job: Job) -> bool:
    """Whether lists are filled."""
    return bool(job.config.fallback.order)


def publish_inputs(job: Job) -> dict[str, Any]:
    """What fillings depend on besides the neighbours and their rules, for the stage's record."""
    if not is_on(job):
        return {}
    settings = job.config.fallback.model_dump()
    return {"fallback": {"settings": settings, "items": job.record("ingest").outputs["content"]}}


def write(job: Job, version: str, lists: Rows) -> Filled:
    """Write the tables tops and filled.

    Args:
        job: the run; its stage neighbors is done.
        version: of the tables.
        lists: item_id and neighbors of all items that have any; those without a row have none.

    Raises:
        InputError: a column of fallback.order has no value at all.
    """
    job.line.note = "filling short lists"
    entries, k = job.config.fallback.entries, job.config.neighbors.k
    _check_columns(job, entries)
    tops = job.store.write_counted("tops", version, Rows(_tops(job, entries), iter))
    rows = _short_lists(job, entries, lists)
    for number, entry in enumerate(entries):
        rows = _fill(job, version, rows, number, entry)
    written = job.store.write_counted("filled", version, _only_filled(rows), count=_counter(k))
    sums = written.sums
    short = job.record("neighbors").tables["short_lists"]
    counts = {
        FILLED_ROWS: sums[FILLED_ROWS],
        _FILLED_ITEMS: written.rows,
        _FILLED_BY: {entry.text: sums[entry.text] for entry in entries},
        _STILL_SHORT: short - sums[_COMPLETE],
    }
    job.line.note = ""
    return Filled({"tops": tops.rows, "filled": written.rows}, counts)


def filled_lists(job: Job, version: str, pairs: pa.Schema) -> Rows:
    """The lists of the table filled, as rows of lists_schema.

    Args:
        job: the run.
        version: of the table.
        pairs: the columns of the similar-item table.
    """
    rows = job.store.scan(job.spark, "filled", version, FILLED.names)
    return sorted_tables.first_neighbors(rows, pairs)


def _check_columns(job: Job, entries: list[FallbackEntry]) -> None:
    from pyspark.sql import functions as F

    names = sorted({name for entry in entries for name in (entry.same, entry.by) if name})
    counts = job.read("items", "ingest").agg(*[F.count(name).alias(name) for name in names]).first()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    for name in names:
        if not counts[name]:
            raise InputError(
                f"fallback.order: no item of the catalogue has a {name}; map one of its columns "
                f"with catalogue.columns.{name}, or leave out what names it"
            )


def _value(entry: FallbackEntry) -> "Column":
    """The hash of the value that items of an entry share; 0 for none, and if it takes all items."""
    from pyspark.sql import functions as F

    return rules.hash_of(entry.same) if entry.same else F.lit(0).cast("bigint")


def _tops(job: Job, entries: list[FallbackEntry]) -> "DataFrame":
    """The rows of the table tops."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    depth = fallback.candidates_of_group(job.config.neighbors.k)
    group = ("entry", "value", "same")
    parts = [
        # Adding 0 makes 0 of -0, so that the two are equal.
        rules.traits_without_boosts(
            job, _value(entry).alias("value"), (F.col(entry.by) + F.lit(0.0)).alias("number")
        )
        .where(F.coalesce("eligible", F.lit(True)) & F.col("number").isNotNull())
        .where(~F.isnan("number") & (F.lit(not entry.same) | (F.col("value") != 0)))
        .select(
            F.lit(number).alias("entry"),
            "value",
            F.coalesce("same", F.lit("")).alias("same"),
            "number",
            *(field.name for field in TOP_ITEM),
        )
        for number, entry in enumerate(entries)
    ]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionByName(part)
    best_first = Window.partitionBy(*group).orderBy(F.col("number").desc(), F.col("item_id"))
    rows = rows.withColumn("place", F.row_number().over(best_first)).where(F.col("place") <= depth)
    item = F.struct("place", F.struct(*(field.name for field in TOP_ITEM)).alias("item"))
    grouped = rows.groupBy(*group).agg(F.array_sort(F.collect_list(item)).alias("items"))
    items = F.transform("items", lambda one: one["item"]).alias("items")
    # Rows of a value are near each other: a question reads few row groups.
    return grouped.select(*group, items).sortWithinPartitions(*group)


def _short_lists(job: Job, entries: list[FallbackEntry], lists: Rows) -> "DataFrame":
    """The items whose lists are filled: item_id, _READ, value_0 and so on, neighbors."""
    from pyspark.sql import functions as F

    k = job.config.neighbors.k

    def only_short(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.less(pc.list_value_length(batch["neighbors"]), k))

    schema = sorted_tables.similar_items_schema(ranked=True, filled=True)
    found = sorted_tables.first_neighbors(lists, schema).map(only_short).table("filled")
    short = job.read("short_lists", "neighbors")
    values = [_value(entry).alias(f"value_{n}") for n, entry in enumerate(entries)]
    traits = rules.traits_without_boosts(job, *values)
    names = [f"value_{n}" for n in range(len(entries))]
    rows = (
        short.select("item_id")
        .join(traits.select("item_id", *_READ, *names), "item_id", how="inner")
        .join(_with_capped(job, found), "item_id", how="left")
    )
    same = F.coalesce("same", F.lit("")).alias("same")
    return rows.select("item_id", same, *_READ[1:], *names, "neighbors")


def _with_capped(job: Job, lists: "DataFrame") -> "DataFrame":
    """Lists whose neighbours have the values that caps count."""
    from pyspark.sql import functions as F

    width = len(job.config.rules.capped)
    none = F.array(*[F.lit(0)] * width).cast("array<bigint>")
    fields = [F.col(f"one.{field.name}") for field in FILLED_NEIGHBOR]
    if not width:
        with_none = F.transform("neighbors", lambda one: one.withField("capped", none))
        return lists.select("item_id", with_none.alias("neighbors"))
    capped = rules.traits_without_boosts(job).select(
        F.col("item_id").alias("similar_id"), F.col("capped")
    )
    flat = lists.select("item_id", F.posexplode("neighbors").alias("place", "one"))
    flat = flat.select("item_id", "place", *fields).join(capped, "similar_id", how="left")
    names = [field.name for field in FILLED_NEIGHBOR]
    one = F.struct(*names, F.coalesce("capped", none).alias("capped"))
    listed = F.array_sort(F.collect_list(F.struct("place", one.alias("one"))))
    neighbors = F.transform("listed", lambda entry: entry["one"])
    grouped = flat.groupBy("item_id").agg(listed.alias("listed"))
    return grouped.select("item_id", neighbors.alias("neighbors"))


def _fill(
    job: Job, version: str, rows: "DataFrame", number: int, entry: FallbackEntry
) -> "DataFrame":
    """Fill lists with the items of one entry of fallback.order."""
    from pyspark.sql import functions as F

    tops = job.store.read(job.spark, "tops", version).where(F.col("entry") == number)
    value = f"value_{number}"
    tops = tops.select(F.col("value").alias(value), "same", F.col("items").alias("candidates"))
    joined = rows.join(tops, [value, "same"], how="left").select(*rows.columns, "candidates")
    pair_rules = rules.pair_rules(job.config.rules, job.config.rank)
    k, text, names = job.config.neighbors.k, entry.text, rows.columns

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            neighbors = fallback.fill(batch, text, pair_rules, k)
            place = batch.schema.get_field_index("neighbors")
            yield batch.set_column(place, "neighbors", neighbors).select(names)

    return joined.mapInArrow(run, ", ".join(f"{name} {kind}" for name, kind in rows.dtypes))


def _only_filled(rows: "DataFrame") -> Rows:
    """Rows of FILLED: those that something was filled in."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            neighbors = batch["neighbors"].cast(FILLED.field("neighbors").type)
            row_of, flat = flatten_lists(neighbors)
            of_filled = row_of[np.asarray(flat.field("reason").is_valid())]
            lists = pa.RecordBatch.from_arrays([batch["item_id"], neighbors], schema=FILLED)
            yield lists.take(pa.array(np.unique(of_filled)))

    return Rows(rows.select("item_id", "neighbors"), run)


def _counter(k: int) -> Count:
    def count(lists: pa.Table) -> dict[str, int]:
        """How many rows fill lists, in all and by entry; how many lists have k items now."""
        reasons = pc.list_flatten(lists["neighbors"])
        by_entry = pc.value_counts(pc.struct_field(reasons, "reason").drop_null()).to_pylist()
        counts = {one["values"]: one["counts"] for one in by_entry}
        complete = pc.sum(pc.equal(pc.list_value_length(lists["neighbors"]), k)).as_py() or 0
        return {**counts, FILLED_ROWS: sum(counts.values()), _COMPLETE: complete}

    return count
