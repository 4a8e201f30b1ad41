"""The table that rules.deny names: items that are never neighbours, and pairs that are none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline import catalogue
from pipeline.config.sections import CatalogueSection
from pipeline.errors import InputError, NitamonoError
from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def identity(job: Job) -> list[list[object]]:
    """The table's files and their content, for the stage's inputs: see catalogue.identity."""
    with _naming_the_setting():
        return catalogue.identity(_source(job))


def read(job: Job) -> "DataFrame":
    """The table's rows: item_id, and similar_id, or null if the item is denied to all others.

    Raises:
        InputError: it has other columns, or rows without an item.
    """
    from pyspark.sql import functions as F

    source = _source(job)
    with _naming_the_setting(), catalogue.explained_damage(source):
        raw = catalogue.read(job.spark, source)
        names = catalogue.data_columns(raw)
        if not raw.columns:
            # A JSON Lines file without a line denies nothing.
            return job.spark.createDataFrame([], "item_id string, similar_id string")
        if "item_id" not in names:
            raise InputError(
                f"rules.deny {source.path}: column item_id is missing; it has: {', '.join(names)}"
            )
        pair = F.col("similar_id") if "similar_id" in names else F.lit(None)
        corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
        item_id, similar_id = F.col("item_id").cast("string"), pair.cast("string")
        rows = raw.select(
            item_id.alias("item_id"),
            F.when(~catalogue.is_blank(similar_id), similar_id).alias("similar_id"),
            (catalogue.is_blank(item_id) | corrupt.isNotNull()).alias("bad"),
        )
        bad = rows.where("bad").count()
    if bad:
        raise InputError(
            f"rules.deny {source.path}: {bad} rows have no item_id or can't be read; "
            "give item_id, and similar_id where it is a pair"
        )
    return rows.select("item_id", "similar_id").distinct()


def read_items(job: Job) -> "DataFrame":
    """The items that are denied to all others: item_id."""
    return read(job).where("similar_id is null").select("item_id")


def read_pairs(job: Job) -> "DataFrame":
    """The denied pairs: item_id, similar_id."""
    return read(job).where("similar_id is not null")


def add_to_traits(job: Job, rows: "DataFrame") -> "DataFrame":
    """Add what is denied to rows of traits; denied items are not eligible.

    Args:
        job: the run.
        rows: item_id, eligible, and any other columns.

    Returns:
        the rows with `paired`, whether some item denies this one, and `denied`, the ids that it
        denies itself.
    """
    from pyspark.sql import functions as F

    table = read(job)
    pairs = table.where("similar_id is not null")
    alone = table.where("similar_id is null").select("item_id", F.lit(True).alias("alone"))
    lists = pairs.groupBy("item_id").agg(F.array_sort(F.collect_set("similar_id")).alias("denied"))
    paired = pairs.select(F.col("similar_id").alias("item_id")).distinct()
    joined = (
        rows.join(alone, "item_id", how="left")
        .join(lists, "item_id", how="left")
        .join(paired.withColumn("paired", F.lit(True)), "item_id", how="left")
    )
    eligible = F.coalesce("eligible", F.lit(True)) & F.col("alone").isNull()
    return joined.withColumn("eligible", eligible).select(
        *rows.columns, F.coalesce("paired", F.lit(False)).alias("paired"), "denied"
    )


def _source(job: Job) -> catalogue.Source:
    section = CatalogueSection(path=job.config.rules.deny)
    return catalogue.Source.from_config(section, job.config.object_stores())


@contextmanager
def _naming_the_setting() -> Iterator[None]:
    """Name rules.deny, in place of catalogue.path, in the errors of reading its file."""
    try:
        yield
    except NitamonoError as error:
        text = str(error).replace("catalogue.path", "rules.deny")
        raise type(error)(text.replace("[catalogue] path", "that setting")) from error
