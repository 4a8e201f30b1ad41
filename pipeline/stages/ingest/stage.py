"""ingest: catalogue -> items and quarantine."""

from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.errors import InputError, StageError
from pipeline.stages.context import Job, StageResult
from pipeline.store.reasons import DUPLICATE_ITEM_ID, NO_ITEM_ID, NO_TEXT, UNREADABLE_ROW
from pipeline.store.schemas import ITEMS, digest

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

NAME = "ingest"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1

# A share of rows with U+FFFD above this says that the encoding is wrong.
_GARBLED_SHARE = 0.2
# More line breaks than this in a title, or in a row that can't be read, are other rows.
_MOST_LINES = 20


def inputs(job: Job) -> dict[str, Any]:
    """The catalogue's settings and the state of its files, but not where they are."""
    return {
        "catalogue": job.config.catalogue.model_dump(exclude={"path"}),
        "files": catalogue.identity(_source(job)),
    }


def _source(job: Job) -> catalogue.Source:
    return catalogue.Source.from_config(job.config.catalogue, job.config.s3.options())


def execute(job: Job, version: str) -> StageResult:
    """Read the catalogue; keep one good row an item, quarantine the others with their reasons."""
    source = _source(job)
    state = catalogue.identity(source)
    raw = catalogue.read(job.spark, source)
    try:
        with catalogue.explained_damage(source):
            made = _ingest(job, raw, version)
        _still(source, state)
    except Exception:
        if catalogue.identity(source) != state:
            for table in ("items", "quarantine"):
                job.store.discard_version(table, version)
            # That is what has to be said, whatever came of it.
            _still(source, state)
        raise
    return made


def _still(source: catalogue.Source, state: list[list[object]]) -> None:
    """See that the catalogue's files are what they were."""
    if catalogue.identity(source) != state:
        raise InputError(
            f"catalogue.path {source.path}: changed while it was read; "
            "run again when it is written to its end"
        )


def _ingest(job: Job, raw: "DataFrame", version: str) -> StageResult:
    from pyspark import StorageLevel
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    flagged = flagged_rows(raw, catalogue.item_columns(raw, _source(job)))
    cores = job.spark.sparkContext.defaultParallelism
    if flagged.rdd.getNumPartitions() < cores:
        # A file that can't be split, compressed CSV for instance, must not stay one task's.
        flagged = flagged.repartition(cores)
    if catalogue.format_of(_source(job)) != "parquet":
        # Text is parsed once; Parquet is read again faster than a copy.
        flagged = flagged.persist(StorageLevel.DISK_ONLY)
    good = F.size("reasons") == 0
    # Which ids are shared is known before any row travels: they are few, as a rule none.
    shared = duplicate_ids(flagged).persist(StorageLevel.DISK_ONLY)
    try:
        every = flag_duplicates(flagged, shared) if shared.count() else flagged
        checked = Observation("ingest")
        rows = every.observe(
            checked,
            F.count("*").alias("read"),
            F.count_if(good & _garbled()).alias("garbled"),
            F.count_if(good & F.col(catalogue.NUMBERS_LOST)).alias("lost"),
            F.max(F.when(F.col("unreadable"), _lines(row_as_text()))).alias("unreadable_lines"),
            F.max(F.when(good, _lines(F.col("title")))).alias("title_lines"),
        )
        items = job.store.write(rows.where(good).select(*ITEMS.names), "items", version)
        bad = every.where(~good).select("item_id", "reasons", row_as_text().alias("row"))
        quarantined = job.store.write(bad, "quarantine", version)
        summary = checked.get
    finally:
        shared.unpersist()
        flagged.unpersist()
    if summary["read"] != items + quarantined:
        raise StageError(f"ingest lost rows: {summary} read, {items} kept, {quarantined} set aside")
    reasons = _reasons(job, version)
    _check_usable(job, summary, items, reasons)
    return StageResult(
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


def flagged_rows(raw: "DataFrame", columns: "list[Column]") -> "DataFrame":
    """The rows as items, with `reasons` that speak against each row for itself.

    Beside them `raw`, the row as it was read, `corrupt`, its text where it can't be parsed, and
    `unreadable`.
    """
    from pyspark.sql import functions as F

    read = [name for name in raw.columns if name != catalogue.CORRUPT]
    corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
    whole = F.struct(*[raw[f"`{n.replace('`', '``')}`"] for n in read])
    frame = raw.select(
        *columns,
        whole.alias("raw"),
        corrupt.cast("string").alias("corrupt"),
        corrupt.isNotNull().alias("unreadable"),
    )
    no_id = catalogue.is_blank(F.col("item_id"))
    no_text = catalogue.is_blank(F.col("title")) & catalogue.is_blank(F.col("description"))
    return frame.withColumn(
        "reasons",
        F.array_compact(
            F.array(
                F.when(F.col("unreadable"), F.lit(UNREADABLE_ROW)),
                F.when(~F.col("unreadable") & no_id, F.lit(NO_ITEM_ID)),
                F.when(~F.col("unreadable") & no_text, F.lit(NO_TEXT)),
            )
        ),
    )


def duplicate_ids(flagged: "DataFrame") -> "DataFrame":
    """The ids that more than one good row has: item_id."""
    from pyspark.sql import functions as F

    ids = flagged.where(F.size("reasons") == 0).groupBy("item_id").count()
    return ids.where(F.col("count") > 1).select("item_id")


def flag_duplicates(flagged: "DataFrame", shared: "DataFrame") -> "DataFrame":
    """Of good rows that share an item_id, all but one get a reason.

    That with the longest text is kept; among equals the one whose JSON sorts first.

    Args:
        flagged: rows of `flag`.
        shared: the ids of `shared_ids`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    marked = flagged.join(shared.withColumn("shared", F.lit(True)), "item_id", how="left")
    several = (F.size("reasons") == 0) & F.col("shared").isNotNull()
    length = F.length(F.concat_ws("", "title", "description"))
    place = F.row_number().over(Window.partitionBy("item_id").orderBy(length.desc(), row_as_text()))
    reasons = F.when(place > 1, F.array(F.lit(DUPLICATE_ITEM_ID))).otherwise(F.col("reasons"))
    again = marked.where(several).withColumn("reasons", reasons)
    return marked.where(~several).unionByName(again).drop("shared")


def row_as_text() -> "Column":
    """A row as it was read, in JSON, or as text where it can't be parsed."""
    from pyspark.sql import functions as F

    return F.coalesce("corrupt", F.to_json("raw"))


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
    source = _source(job)
    if not items:
        why = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
        raise InputError(
            f"catalogue.path {source.path}: no valid row among {summary['read']}"
            + (f" ({why}); see the table quarantine in the store" if why else "")
        )
    lines = max(summary["unreadable_lines"] or 0, summary["title_lines"] or 0)
    if lines > _MOST_LINES:
        raise InputError(
            f"catalogue.path {source.path}: one field holds {lines} line breaks: a quotation mark "
            "is opened and never closed; look for it in the table quarantine or items in the store"
        )
    if summary["garbled"] > _GARBLED_SHARE * items:
        raise InputError(
            f"catalogue.path {source.path}: {summary['garbled']} of {items} items hold characters "
            f"that are not {source.encoding}; set catalogue.encoding, Shift_JIS for instance"
        )
