"""The pins of [edits]: the lists that have any, and the pins that could not be followed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches, pins
from pipeline.retrieval.pins import LISTS_WITH_PINS, PINNED_ITEMS
from pipeline.stages.context import Job
from pipeline.stages.neighbors import chosen_lists, edits
from pipeline.stages.neighbors.edit_rows import COLUMNS, MICRO
from pipeline.stages.neighbors.edit_state import Edit
from pipeline.stages.neighbors.edited_items import Sides
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.storage.list_schemas import CHOSEN, QUERY_TRAITS
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TABLE, REJECTED = "pinned", "rejected_edits"
_OF_CONDITIONS = pa.schema(
    [
        *(("item_id", pa.string()), ("order", pa.int32()), ("rank", pa.int32())),
        *(("similar_id", pa.string()), ("item_where", pa.string())),
    ]
)


def write(context: SearchContext, version: str) -> tuple[dict[str, int], int]:
    """Write the lists with pins, the edits in force, and those that were refused.

    Args:
        context: what the search works with.
        version: of the neighbors table and of these.

    Returns:
        the rows of each table; and by how many neighbours pins have made lists longer.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    job = context.job
    tables, added = {"edits": _write_edits(context, version)}, 0
    if not job.config.edits.exists:
        return tables, added
    rejected = edits.read_rejected(job).withColumn("items", F.lit(None).cast("bigint"))
    rejected = rejected.unionByName(_unknown(context))
    if edits.state(job).pins:
        job.line.note = "pinning"
        rules, k = context.search.rules, job.config.neighbors.k
        # Of everybody's pins, the neighbours are few, and would be sent with each item.
        ids = sorted({str(edit.similar_id) for edit in _conditional(job)})
        few = _neighbors(context.lists.where(F.col("item_id").isin(ids))).toArrow()
        few_rows = packed_batches.concat(few.to_batches(), few.schema)

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                rows = batch.select(PINNED_ITEMS.names).cast(PINNED_ITEMS)
                yield pins.lists_with_pins(pins.with_neighbors(rows, few_rows), rules, k)

        made = _pinned_items(context, version).mapInArrow(run, schemas.ddl(LISTS_WITH_PINS))
        made = made.persist(StorageLevel.DISK_ONLY)
        lists = made.where("neighbors is not null").select("item_id", "neighbors")
        tables[TABLE] = job.store.write(lists, TABLE, version)
        rejected = rejected.unionByName(_rejected(context, made))
        tables[REJECTED] = _write_sorted(context, rejected, REJECTED, version)
        sums = made.agg(F.coalesce(F.sum("added"), F.lit(0)).alias("added")).first()
        assert sums is not None  # noqa: S101 - an aggregate has one row
        added = sums["added"]
        made.unpersist()
        job.line.note = ""
    else:
        tables[REJECTED] = _write_sorted(context, rejected, REJECTED, version)
    return tables, added


def _write_edits(context: SearchContext, version: str) -> int:
    """Write the edits that name their items by ids, for those who ask one by one."""
    from pyspark.sql import functions as F

    rows = edits.read(context.job).where(
        "similar_id is not null and item_where is null and (item_id is not null or action <> 'pin')"
    )
    value = F.when(F.col("action") == "deny", F.lit(float("-inf")))
    table = rows.select(
        F.coalesce("item_id", "similar_id").alias("item_id"),
        F.when(F.col("item_id").isNotNull(), F.col("similar_id")).alias("similar_id"),
        "action",
        value.otherwise(F.col("micro") / F.lit(float(MICRO))).alias("value"),
    )
    return context.job.store.write(table.orderBy("item_id", "similar_id"), "edits", version)


def _write_sorted(context: SearchContext, rows: "DataFrame", table: str, version: str) -> int:
    return context.job.store.write(rows.orderBy(*rows.columns), table, version)


def _pinned_items(context: SearchContext, version: str) -> "DataFrame":
    """The items that edits name, and those of the catalogue that conditions hold for.

    Returns:
        rows of PINNED_ITEMS.
    """
    from pyspark.sql import functions as F

    job = context.job
    named = _named_pins(context)
    wanted_ids = named.selectExpr("similar_id as item_id").distinct()
    neighbors = _neighbors(context.lists.join(wanted_ids, "item_id", how="left_semi"))
    rows = named.join(neighbors, "similar_id", how="left")
    if conditional := _conditional(job):
        of_conditions = _conditional_pins(context, conditional)
        rows = rows.unionByName(of_conditions, allowMissingColumns=True)
    pin = F.struct(*(F.col(field.name) for field in pins.PIN))
    by_item = rows.groupBy("item_id").agg(F.collect_list(pin).alias("pins"))
    asking = context.queries.select("item_id", "vector", *QUERY_TRAITS)
    if job.config.rank.chooses:
        lists = job.store.read(job.spark, chosen_lists.TABLE, version).select(*CHOSEN.names)
    else:
        found = context.neighbor_rows(version, CHOSEN.names).map(_lists)
        lists = found.frame.mapInArrow(found.run, schemas.ddl(CHOSEN))
    joined = by_item.join(asking, "item_id", how="left").join(lists, "item_id", how="left")
    return joined.select(*PINNED_ITEMS.names)


def _lists(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.select(CHOSEN.names).cast(CHOSEN)


def _neighbors(candidates: "DataFrame") -> "DataFrame":
    """What pins need of their neighbours: similar_id and PIN_COLUMNS."""
    return candidates.selectExpr("item_id as similar_id", *pins.PIN_COLUMNS)


def _named_pins(context: SearchContext) -> "DataFrame":
    """The pins that name their item: item_id, order, rank, similar_id, item_where."""
    from pyspark.sql import functions as F

    named = edits.read(context.job).where("action = 'pin' and item_id is not null")
    rank = (F.col("micro") / MICRO).cast("int").alias("rank")
    none, by_id = F.lit(None).cast("string"), F.lit(0)
    return named.select(
        "item_id", by_id.alias("order"), rank, "similar_id", none.alias("item_where")
    )


def _conditional(job: Job) -> list[Edit]:
    """The pins with a condition, and those of all items."""
    return [edit for edit in edits.state(job).with_conditions if edit.action == "pin"]


def _conditional_pins(context: SearchContext, conditional: list[Edit]) -> "DataFrame":
    """Those pins of each item that asks; columns as of `_named_pins`."""
    job = context.job
    sides, by_item = Sides.of(job, conditional), [edit.item for edit in conditional]
    values = [
        (2 if edit.is_of_all else 1, int(edit.value), edit.similar_id, edit.item_where)
        for edit in conditional
    ]
    table = pa.table(list(map(pa.array, zip(*values, strict=True))), _OF_CONDITIONS.names[1:])

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            test = sides.tests(batch)
            rows = [np.flatnonzero(test(side)) for side in by_item]
            pin = np.repeat(np.arange(len(rows)), list(map(len, rows)))
            ids = batch["item_id"].take(pa.array(np.concatenate(rows)))
            found = table.take(pa.array(pin)).add_column(0, "item_id", ids).cast(_OF_CONDITIONS)
            yield from found.to_batches()

    asking = context.queries.select("item_id")
    items = job.read("items", "ingest").join(asking, "item_id", how="left_semi")
    found = items.select("item_id", sides.column()).mapInArrow(run, schemas.ddl(_OF_CONDITIONS))
    return found.where("item_id <> similar_id")


def _unknown(context: SearchContext) -> "DataFrame":
    """The other edits that name items which are not in the catalogue: rows of REJECTED_EDITS."""
    from pyspark.sql import functions as F

    rows = edits.in_force(context.job).where("reason is null and action <> 'pin'")
    written = F.when(F.col("micro") < 0, F.lit("bury")).otherwise(F.col("action"))
    rows = rows.withColumn("action", written)
    items = context.job.read("items", "ingest").select("item_id")
    parts = [
        rows.where(f"{name} is not null")
        .join(items.withColumnRenamed("item_id", name), name, how="left_anti")
        .withColumn("reason", F.lit(f"{name} is not in the catalogue"))
        for name in ("item_id", "similar_id")
    ]
    none = F.lit(None).cast("bigint").alias("items")
    return parts[0].unionByName(parts[1]).select(*COLUMNS, "reason", none)


def _rejected(context: SearchContext, made: "DataFrame") -> "DataFrame":
    """The pins that were not followed, as they were written: rows of REJECTED_EDITS."""
    from pyspark.sql import functions as F

    named: Column = F.when(F.col("pin.order") == 0, F.col("item_id")).alias("named")
    flat = made.select("item_id", F.explode("rejected").alias("pin"))
    keys = [F.col(f"pin.{name}") for name in ("rank", "similar_id", "item_where", "reason")]
    by_pin = flat.select(named, *keys).groupBy(
        "named", "rank", "similar_id", "item_where", "reason"
    )
    counted = by_pin.agg(F.count("*").alias("items"))
    rows = edits.in_force(context.job).where("action = 'pin' and reason is null").drop("reason")
    is_of = (
        rows["item_id"].eqNullSafe(counted["named"])
        & rows["item_where"].eqNullSafe(counted["item_where"])
        & (rows["similar_id"] == counted["similar_id"])
        & (rows["micro"] == counted["rank"] * MICRO)
    )
    joined = rows.join(counted, is_of, how="inner")
    written = [rows[name] for name in COLUMNS]
    return joined.select(*written, counted["reason"], counted["items"])
