"""Validating the rows of a catalogue: which of them can't become items, and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline import catalogue
from pipeline.store.reason_codes import (
    DUPLICATE_ITEM_ID,
    GARBLED_ITEM_ID,
    NO_ITEM_ID,
    NO_TEXT,
    UNREADABLE_ROW,
)
from pipeline.text.placeholders import NONE, NORMAL, WIDE, Placeholders

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


# White space of any script around a text is no part of a placeholder.
_SPACE_AROUND = r"(?U)\A\s+|\s+\z"
_MAX_SPACE_AROUND = 20


@contextmanager
def checked_rows(
    spark: "SparkSession",
    source: catalogue.Source | catalogue.TableSource,
    snapshot: catalogue.Snapshot,
    placeholders: Placeholders,
) -> "Iterator[DataFrame]":
    """The rows of `flag_rows`, those with an id that others have flagged too, in enough partitions.

    Args:
        spark: the session.
        source: the catalogue.
        snapshot: its rows.
        placeholders: titles and descriptions that are none.
    """
    from pyspark import StorageLevel

    raw, files, cores = snapshot.rows, len(snapshot.state), spark.sparkContext.defaultParallelism
    flagged = flag_rows(raw, catalogue.item_columns(raw, source), placeholders)
    is_text = catalogue.is_parsed_text(source)
    is_csv = isinstance(source, catalogue.Source) and catalogue.format_of(source) == "csv"
    # A file that can't be split would stay in one task. CSV never can: it need not be planned twice
    # to know that.
    if (is_csv and files < cores) or flagged.rdd.getNumPartitions() < cores:
        flagged = flagged.repartition(cores)
    if is_text:
        # Text is parsed once; other formats are read again faster than a copy.
        flagged = flagged.persist(StorageLevel.DISK_ONLY)
    # Duplicate ids are few, as a rule none: only rows with such an id are shuffled.
    duplicates = duplicate_ids(flagged).persist(StorageLevel.DISK_ONLY)
    try:
        may_repeat = is_text or has_repeated_ids(flagged)
        has_duplicates = may_repeat and duplicates.count()
        yield flag_duplicates(flagged, duplicates) if has_duplicates else flagged
    finally:
        duplicates.unpersist()
        flagged.unpersist()


def flag_rows(
    raw: "DataFrame", columns: "list[Column]", placeholders: Placeholders = NONE
) -> "DataFrame":
    """Turn rows into items, with the reasons against each row.

    Args:
        raw: the catalogue as its files have it.
        columns: the columns of an item, computed from the catalogue's.
        placeholders: titles and descriptions that are none.

    Returns:
        the columns of an item, `reasons`, `raw`, the row as it was read, `corrupt`, the row's text
        where it can't be parsed, `corrupt_reason`, `unreadable`, and whether title and description
        were placeholders: `title_placeholder`, `description_placeholder`.
    """
    from pyspark.sql import functions as F

    corrupt, reason = (
        F.col(name) if name in raw.columns else F.lit(None)
        for name in (catalogue.CORRUPT, catalogue.CORRUPT_REASON)
    )
    row = F.struct(*[raw[f"`{name.replace('`', '``')}`"] for name in catalogue.data_columns(raw)])
    frame = raw.select(
        *columns,
        row.alias("raw"),
        corrupt.cast("string").alias("corrupt"),
        reason.cast("string").alias("corrupt_reason"),
        corrupt.isNotNull().alias("unreadable"),
    )
    for name in ("title", "description"):
        is_placeholder = _is_placeholder(F.col(name), placeholders)
        frame = frame.withColumn(f"{name}_placeholder", is_placeholder)
        if placeholders.blank:
            frame = frame.withColumn(name, F.when(~F.col(f"{name}_placeholder"), F.col(name)))
    no_id = catalogue.is_blank(F.col("item_id"))
    garbled_id = F.col("item_id").contains("\ufffd")
    no_text = catalogue.is_blank(F.col("title")) & catalogue.is_blank(F.col("description"))
    return frame.withColumn(
        "reasons",
        F.array_compact(
            F.array(
                F.when(F.col("unreadable"), F.coalesce("corrupt_reason", F.lit(UNREADABLE_ROW))),
                F.when(~F.col("unreadable") & no_id, F.lit(NO_ITEM_ID)),
                F.when(~F.col("unreadable") & garbled_id, F.lit(GARBLED_ITEM_ID)),
                F.when(~F.col("unreadable") & no_text, F.lit(NO_TEXT)),
            )
        ),
    )


def _is_placeholder(text: "Column", placeholders: Placeholders) -> "Column":
    """Whether a text is a placeholder; its form is that of pipeline.text.placeholders."""
    from pyspark.sql import functions as F

    trimmed = F.regexp_replace(F.translate(text, WIDE, NORMAL), _SPACE_AROUND, "")
    # Long texts are not looked at, nor those with another beginning.
    is_short = F.length(text) <= placeholders.longest + _MAX_SPACE_AROUND
    may_be = F.substring(text, 1, 1).isin(sorted(placeholders.first_characters))
    form = F.when(may_be & is_short, F.lower(trimmed))
    return F.coalesce(form.isin(sorted(placeholders.texts)), F.lit(False))


def has_repeated_ids(flagged: "DataFrame") -> bool:
    """Whether an id occurs twice, in valid rows or not; no text is read to know it.

    Args:
        flagged: rows of `flag_rows`.
    """
    ids = flagged.where("item_id is not null").groupBy("item_id").count()
    return bool(ids.where("count > 1").limit(1).count())


def duplicate_ids(flagged: "DataFrame") -> "DataFrame":
    """The ids of more than one valid row: item_id.

    Args:
        flagged: rows of `flag_rows`.
    """
    from pyspark.sql import functions as F

    ids = flagged.where(F.size("reasons") == 0).groupBy("item_id").count()
    return ids.where(F.col("count") > 1).select("item_id")


def flag_duplicates(flagged: "DataFrame", duplicates: "DataFrame") -> "DataFrame":
    """Add a reason to all but one of the valid rows that share an item_id.

    The row with the longest text stays valid; of several such rows the one whose JSON sorts first.

    Args:
        flagged: rows of `flag_rows`.
        duplicates: the ids of `duplicate_ids`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    marked = flagged.join(duplicates.withColumn("duplicate", F.lit(True)), "item_id", how="left")
    is_duplicate = (F.size("reasons") == 0) & F.col("duplicate").isNotNull()
    length = F.length(F.concat_ws("", "title", "description"))
    rank = F.row_number().over(Window.partitionBy("item_id").orderBy(length.desc(), row_as_text()))
    reasons = F.when(rank > 1, F.array(F.lit(DUPLICATE_ITEM_ID))).otherwise(F.col("reasons"))
    ranked = marked.where(is_duplicate).withColumn("reasons", reasons)
    return marked.where(~is_duplicate).unionByName(ranked).drop("duplicate")


def row_as_text() -> "Column":
    """The row as it was read, in JSON; or its text where it can't be parsed. Always UTF-8."""
    from pyspark.sql import functions as F

    return F.make_valid_utf8(F.coalesce("corrupt", F.to_json("raw")))
