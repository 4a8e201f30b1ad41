"""The pins of [edits]: the lists that have any, and the pins that could not be followed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.retrieval import pins
from pipeline.retrieval.pins import LISTS_WITH_PINS, PINNED_ITEMS
from pipeline.stages.neighbors import diverse_lists, edits
from pipeline.stages.neighbors.edit_rows import COLUMNS, MICRO
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.storage.list_schemas import DIVERSE, QUERY_TRAITS
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TABLE, REJECTED = "pinned", "rejected_edits"


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
    if edits.state(job).pins:
        job.line.note = "pinning"
        rules, k = context.search.rules, job.config.neighbors.k

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                rows = batch.select(PINNED_ITEMS.names).cast(PINNED_ITEMS)
                yield pins.lists_with_pins(rows, rules, k)

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
    wanted = _wanted(context)
    neighbors = (
        context.lists.join(
            wanted.selectExpr("similar_id as item_id").distinct(), "item_id", how="left_semi"
        )
        .select("item_id", *pins.PIN_COLUMNS)
        .withColumnRenamed("item_id", "similar_id")
    )
    pin = F.struct(*(F.col(field.name) for field in pins.PIN))
    by_item = (
        wanted.join(neighbors, "similar_id", how="left")
        .groupBy("item_id")
        .agg(F.collect_list(pin).alias("pins"))
    )
    asking = context.queries.select("item_id", "vector", *QUERY_TRAITS)
    if job.config.rank.diversity:
        lists = job.store.read(job.spark, diverse_lists.TABLE, version).select(*DIVERSE.names)
    else:
        rows = context.neighbor_rows(version, DIVERSE.names).map(_lists)
        lists = rows.frame.mapInArrow(rows.run, schemas.ddl(DIVERSE))
    joined = by_item.join(asking, "item_id", how="left").join(lists, "item_id", how="left")
    return joined.select(*PINNED_ITEMS.names)


def _lists(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.select(DIVERSE.names).cast(DIVERSE)


def _wanted(context: SearchContext) -> "DataFrame":
    """The pins of each item: item_id, order, rank, similar_id, item_where."""
    from pyspark.sql import functions as F

    job = context.job
    none, by_id = F.lit(None).cast("string"), F.lit(0)
    rank = (F.col("micro") / MICRO).cast("int").alias("rank")
    named = edits.read(job).where("action = 'pin' and item_id is not null")
    wanted = named.select(
        "item_id", by_id.alias("order"), rank, "similar_id", none.alias("item_where")
    )
    conditional = [e for e in edits.state(job).with_conditions if e.action == "pin"]
    if not conditional:
        return wanted
    matches = [
        F.when(
            F.lit(True) if edit.is_of_all else edits.holds(job.config, edit.item_condition),
            F.struct(
                F.lit(2 if edit.is_of_all else 1).alias("order"),
                F.lit(int(edit.value)).alias("rank"),
                F.lit(edit.similar_id).alias("similar_id"),
                F.lit(edit.item_where).cast("string").alias("item_where"),
            ),
        )
        for edit in conditional
    ]
    items = job.read("items", "ingest").join(
        context.queries.select("item_id"), "item_id", how="left_semi"
    )
    pins_of_item = F.filter(F.array(*matches), lambda pin: pin.isNotNull())
    found = items.select("item_id", F.explode(pins_of_item).alias("pin")).select("item_id", "pin.*")
    return wanted.unionByName(found.where("item_id <> similar_id"))


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
