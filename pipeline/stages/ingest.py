"""ingest: catalogue -> items and quarantine."""

from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.errors import InputError, StageError
from pipeline.job import Job, Made
from pipeline.tables import ITEMS, digest

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

NAME = "ingest"
CODE = ("pipeline.catalogue", "pipeline.tables")

UNREADABLE = "unreadable_row"
NO_ID = "no_item_id"
NO_TEXT = "no_text"
DUPLICATE = "duplicate_item_id"

# A share of rows with U+FFFD above this says that the encoding is wrong.
_GARBLED_SHARE = 0.2
# More line breaks than this in a title, or in a row that can't be read, are other rows.
_MOST_LINES = 20


def inputs(job: Job) -> dict[str, Any]:
    """The catalogue's settings and the state of its files."""
    section = job.config.catalogue
    return {"catalogue": section.model_dump(), "files": catalogue.identity(section)}


def execute(job: Job, version: str) -> Made:
    """Read the catalogue; keep one good row an item, quarantine the others with their reasons."""
    raw = catalogue.read(job.spark, job.config.catalogue)
    with catalogue.readable(job.config.catalogue):
        return _ingest(job, raw, version)


def _ingest(job: Job, raw: "DataFrame", version: str) -> Made:
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    flagged = flag(raw, catalogue.columns(raw, job.config.catalogue)).persist(
        StorageLevel.DISK_ONLY
    )
    try:
        good = F.size("reasons") == 0
        items = job.store.write(flagged.where(good).select(*ITEMS), "items", version)
        bad = flagged.where(~good).select("item_id", "reasons", "row")
        quarantined = job.store.write(bad, "quarantine", version)
        summary = flagged.agg(
            F.count("*").alias("read"),
            F.count_if(good & _garbled()).alias("garbled"),
            F.count_if(good & F.col(catalogue.NUMBERS_LOST)).alias("lost"),
            F.max(F.when(F.col("unreadable"), _lines(F.col("row")))).alias("unreadable_lines"),
            F.max(F.when(good, _lines(F.col("title")))).alias("title_lines"),
        ).first()
    finally:
        flagged.unpersist()
    if summary is None or summary["read"] != items + quarantined:
        raise StageError(f"ingest lost rows: {summary} read, {items} kept, {quarantined} set aside")
    reasons = _reasons(job, version)
    _check_usable(job, summary.asDict(), items, reasons)
    return Made(
        tables={"items": items, "quarantine": quarantined},
        counts={
            "rows_read": summary["read"],
            "items": items,
            "quarantined": quarantined,
            "quarantine_reasons": reasons,
            "rows_with_lost_numbers": summary["lost"],
            "items_with_garbled_text": summary["garbled"],
        },
        outputs={"content": digest(job.store.read(job.spark, "items", version))},
    )


def flag(raw: "DataFrame", columns: "list[Column]") -> "DataFrame":
    """The rows as items, with `reasons` that speak against them and the `row` as it was read.

    Of good rows that share an item_id, the one with the longest text is kept; among equals the
    one whose JSON sorts first.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    read = [name for name in raw.columns if name != catalogue.CORRUPT]
    corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
    row = F.coalesce(
        corrupt, F.to_json(F.struct(*[raw[f"`{n.replace('`', '``')}`"] for n in read]))
    )
    frame = raw.select(*columns, row.alias("row"), corrupt.isNotNull().alias("unreadable"))
    no_id = catalogue.blank(F.col("item_id"))
    no_text = catalogue.blank(F.col("title")) & catalogue.blank(F.col("description"))
    frame = frame.withColumn(
        "reasons",
        F.array_compact(
            F.array(
                F.when(F.col("unreadable"), F.lit(UNREADABLE)),
                F.when(~F.col("unreadable") & no_id, F.lit(NO_ID)),
                F.when(~F.col("unreadable") & no_text, F.lit(NO_TEXT)),
            )
        ),
    )
    length = F.length(F.concat_ws("", "title", "description"))
    good = F.size("reasons") == 0
    # Rows that are out already stand alone: a million without an id are not one window.
    window = Window.partitionBy(good, F.when(good, F.col("item_id")).otherwise(F.col("row")))
    again = good & (F.row_number().over(window.orderBy(length.desc(), "row")) > 1)
    return frame.withColumn(
        "reasons", F.when(again, F.array(F.lit(DUPLICATE))).otherwise(F.col("reasons"))
    )


def _lines(text: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.length(text) - F.length(F.replace(text, F.lit("\n"), F.lit("")))


def _garbled() -> "Column":
    from pyspark.sql import functions as F

    return F.concat_ws("", "title", "description").contains("\ufffd")


def _reasons(job: Job, version: str) -> dict[str, int]:
    from pyspark.sql import functions as F

    quarantine = job.store.read(job.spark, "quarantine", version)
    rows = quarantine.select(F.explode("reasons").alias("r")).groupBy("r").count().collect()
    return {row["r"]: row["count"] for row in sorted(rows)}


def _check_usable(job: Job, summary: dict[str, int], items: int, reasons: dict[str, int]) -> None:
    section = job.config.catalogue
    if not items:
        why = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
        raise InputError(
            f"catalogue.path {section.path}: no valid row among {summary['read']}"
            + (f" ({why}); see the table quarantine in the store" if why else "")
        )
    lines = max(summary["unreadable_lines"] or 0, summary["title_lines"] or 0)
    if lines > _MOST_LINES:
        raise InputError(
            f"catalogue.path {section.path}: one field holds {lines} line breaks: a quotation mark "
            "is opened and never closed; look for it in the table quarantine or items in the store"
        )
    if summary["garbled"] > _GARBLED_SHARE * items:
        raise InputError(
            f"catalogue.path {section.path}: {summary['garbled']} of {items} items hold characters "
            f"that are not {section.encoding}; set catalogue.encoding, Shift_JIS for instance"
        )
