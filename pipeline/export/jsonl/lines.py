"""The lines of an export to JSON Lines, computed by Spark."""

from typing import TYPE_CHECKING

from pipeline.export.jsonl.layout import Layout
from pipeline.store.reason_codes import NOT_ASKED, UNREADABLE_ROW
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_JSON_OPTIONS = {"ignoreNullFields": "false"}


def lines(
    spark: "SparkSession",
    store: Store,
    version: str,
    versions: dict[str, str],
    layout: Layout,
    missing: list[int],
) -> "DataFrame":
    """The lines of the missing files.

    Args:
        spark: the session.
        store: where the tables are.
        version: version of similar_items.
        versions: version of each of the tables items, quarantine and short_lists.
        layout: the files.
        missing: numbers of the files whose lines are wanted.

    Returns:
        part int, line string, neighbors int; `neighbors` is null for quarantined rows. Each file's
        lines are in one partition, in order.
    """
    from pyspark.sql import functions as F

    def rows_of_missing(table: str, table_version: str, key: str) -> "DataFrame":
        part = F.pmod(F.xxhash64(F.col(key)), F.lit(layout.files)).cast("int")
        rows = store.read(spark, table, table_version).withColumn("part", part)
        return rows if len(missing) == layout.files else rows.where(F.col("part").isin(missing))

    items = rows_of_missing("items", versions["items"], "item_id")
    pairs = rows_of_missing("similar_items", version, "item_id")
    short_lists = rows_of_missing("short_lists", versions["short_lists"], "item_id")
    quarantine = rows_of_missing("quarantine", versions["quarantine"], "row")
    # The entry of fallback.order that a neighbour fills the list by, in tables that have it.
    more = ["reason"] if "reason" in pairs.columns else []
    ranked = F.struct("rank", "similar_id", "score", *more)
    lists = pairs.groupBy("item_id").agg(F.sort_array(F.collect_list(ranked)).alias("ranked"))
    names = [name for name in items.columns if name != "part"]
    joined = items.join(lists, "item_id", how="left")
    joined = joined.join(short_lists.select("item_id", "reason"), "item_id", how="left")
    rows = joined.select(
        "part", F.lit(0).alias("kind"), "item_id", *_item_columns(names)
    ).unionByName(
        quarantine.select("part", F.lit(1).alias("kind"), "item_id", *_quarantine_columns())
    )
    by_part = rows.repartition(min(len(missing), _shuffle_partitions(spark)), "part")
    ordered = by_part.sortWithinPartitions("part", "kind", "item_id", "line")
    return ordered.select("part", "line", "neighbors")


def _shuffle_partitions(spark: "SparkSession") -> int:
    return max(1, int(spark.conf.get("spark.sql.shuffle.partitions") or 1))


def _item_columns(names: list[str]) -> "tuple[Column, Column]":
    """The line of an item, and its number of neighbours.

    Args:
        names: the columns of the items table.
    """
    from pyspark.sql import functions as F

    has_list = F.col("ranked").isNotNull()
    neighbours = F.transform("ranked", lambda pair: pair.dropFields("rank"))
    line = F.struct(
        F.struct(*names).alias("input"),
        F.when(has_list, F.struct(neighbours.alias("neighbours"))).alias("output"),
        F.when(~has_list, F.coalesce("reason", F.lit(NOT_ASKED))).alias("error"),
    )
    count = F.when(has_list, F.size("ranked")).otherwise(F.lit(0))
    return F.to_json(line, _JSON_OPTIONS).alias("line"), count.alias("neighbors")


def _quarantine_columns() -> "tuple[Column, Column]":
    """The line of a quarantined row, and null.

    Its input is the row as it was read: an object, or its text if it could not be parsed.
    """
    from pyspark.sql import functions as F

    row_as_text = _quoted(F.col("row"))
    row = F.when(F.array_contains("reasons", UNREADABLE_ROW), row_as_text).otherwise(F.col("row"))
    line = F.concat(
        F.lit('{"input":'), F.coalesce(row, F.lit("null")),
        F.lit(',"output":null,"error":'), _quoted(F.array_join("reasons", ", ")), F.lit("}"),
    )  # fmt: skip
    return line.alias("line"), F.lit(None).cast("int").alias("neighbors")


def _quoted(text: "Column") -> "Column":
    """A text as a JSON string; to_json() takes no plain texts, so the brackets of an array go."""
    from pyspark.sql import functions as F

    array = F.to_json(F.array(text))
    return F.substr(array, F.lit(2), F.length(array) - 2)
