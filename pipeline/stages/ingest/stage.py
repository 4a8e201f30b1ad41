"""ingest: catalogue -> items and quarantine."""

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.errors import InputError, StageError
from pipeline.stages.context import Job, StageResult
from pipeline.stages.ingest.validation import (
    duplicate_ids,
    flag_duplicates,
    flag_rows,
    has_repeated_ids,
    row_as_text,
)
from pipeline.store.arrow_files import Rows
from pipeline.store.reason_codes import QUARANTINE
from pipeline.store.schemas import ITEMS, check, digest_halves, digest_text
from pipeline.text.placeholders import Placeholders

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

NAME = "ingest"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 3

# With a larger share of rows that hold U+FFFD the encoding must be wrong.
_MAX_GARBLED_SHARE = 0.2
# Ids that a spreadsheet has rounded, as in 4.90178E+12; JSON's writers leave the plus sign out.
_ROUNDED = r"\A\d(\.\d+E\+?|E\+)\d{1,3}\z"


def inputs(job: Job) -> dict[str, Any]:
    """The catalogue's settings, the state of its files but not where they are, placeholders."""
    placeholders = _placeholders(job)
    return {
        "catalogue": job.config.catalogue.model_dump(exclude={"path"}),
        "files": catalogue.identity(_source(job)),
        "placeholders": {"texts": sorted(placeholders.texts), "blank": placeholders.blank},
    }


def _placeholders(job: Job) -> Placeholders:
    section = job.config.text
    return Placeholders.of(section.placeholder_texts, blank=section.placeholders == "blank")


def _source(job: Job) -> catalogue.Source:
    return catalogue.Source.from_config(job.config.catalogue, job.config.object_stores())


def execute(job: Job, version: str) -> StageResult:
    """Read the catalogue; write one valid row an item, and all others to the quarantine."""
    source = _source(job)
    state = catalogue.identity(source)
    raw = catalogue.read(job.spark, source)
    try:
        with catalogue.explained_damage(source):
            result = _ingest(job, raw, version, files=len(state))
        _check_unchanged(source, state)
    except Exception:
        if catalogue.identity(source) != state:
            for table in ("items", "quarantine"):
                job.store.discard_version(table, version)
            # The change is the cause of whatever failed.
            _check_unchanged(source, state)
        raise
    return result


def _check_unchanged(source: catalogue.Source, state: list[list[object]]) -> None:
    """Check that the catalogue's files are the same as before.

    Raises:
        InputError: they have changed.
    """
    if catalogue.identity(source) != state:
        raise InputError(
            f"catalogue.path {source.path}: changed while it was read; "
            "run again when it is written to its end"
        )


def _ingest(job: Job, raw: "DataFrame", version: str, *, files: int) -> StageResult:
    from pyspark import StorageLevel
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    flagged = flag_rows(raw, catalogue.item_columns(raw, _source(job)), _placeholders(job))
    kind, cores = catalogue.format_of(_source(job)), job.spark.sparkContext.defaultParallelism
    # A file that can't be split would stay in one task. CSV never can: it need not be planned twice
    # to know that.
    if (kind == "csv" and files < cores) or flagged.rdd.getNumPartitions() < cores:
        flagged = flagged.repartition(cores)
    is_parquet = kind == "parquet"
    if not is_parquet:
        # Text is parsed once; Parquet is read again faster than a copy.
        flagged = flagged.persist(StorageLevel.DISK_ONLY)
    is_valid = F.size("reasons") == 0
    is_rounded = F.col("item_id").rlike(_ROUNDED)
    # Duplicate ids are few, as a rule none: only rows with such an id are shuffled.
    duplicates = duplicate_ids(flagged).persist(StorageLevel.DISK_ONLY)
    try:
        may_repeat = not is_parquet or has_repeated_ids(flagged)
        has_duplicates = may_repeat and duplicates.count()
        checked = flag_duplicates(flagged, duplicates) if has_duplicates else flagged
        observation, content = Observation("ingest"), digest_halves(ITEMS.names, is_valid)
        rows = checked.observe(
            observation,
            F.count("*").alias("read"),
            F.count_if(is_valid & _is_garbled()).alias("garbled"),
            F.count_if(is_valid & F.col(catalogue.NUMBERS_LOST)).alias("lost"),
            F.count_if(F.col("title_placeholder")).alias("placeholder_titles"),
            F.count_if(F.col("description_placeholder")).alias("placeholder_descriptions"),
            F.count_if(is_rounded).alias("rounded"),
            # The rows are not read again for their digest.
            *(half.alias(f"half{n}") for n, half in enumerate(content)),
        )
        items = job.store.write(rows.where(is_valid).select(*ITEMS.names), "items", version)
        summary = observation.get
        reasons: dict[str, int] = {}
        quarantined = 0
        if summary["read"] == items:
            job.store.write_rows([], "quarantine", version)
        else:
            reasons, quarantined = _write_quarantine(job, checked.where(~is_valid), version)
    finally:
        duplicates.unpersist()
        flagged.unpersist()
    if summary["read"] != items + quarantined:
        raise StageError(f"ingest lost rows: {summary} read, {items} kept, {quarantined} set aside")
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
            "placeholder_titles": summary["placeholder_titles"],
            "placeholder_descriptions": summary["placeholder_descriptions"],
            "rows_with_rounded_ids": summary["rounded"],
        },
        outputs={"content": digest_text((summary["half0"], summary["half1"]))},
    )


def _is_garbled() -> "Column":
    from pyspark.sql import functions as F

    return F.concat_ws("", "title", "description").contains("\ufffd")


def _write_quarantine(job: Job, invalid: "DataFrame", version: str) -> tuple[dict[str, int], int]:
    """Write the quarantine; return how many rows have each reason, and how many rows it has."""
    rows = check(invalid.withColumn("row", row_as_text()), "quarantine")
    written = job.store.write_counted("quarantine", version, Rows(rows, iter), count=_reasons)
    return dict(sorted(written.sums.items())), written.rows


def _reasons(rows: "pa.Table") -> dict[str, int]:
    return dict(Counter(chain(*rows["reasons"].to_pylist())))


def _check_usable(job: Job, summary: dict[str, int], items: int, reasons: dict[str, int]) -> None:
    source = _source(job)
    if not items:
        counts = "; ".join(f"{r}: {count:,}, {QUARANTINE[r].en}" for r, count in reasons.items())
        raise InputError(
            f"catalogue.path {source.path}: no valid row among {summary['read']}"
            + (f" ({counts}); see the table quarantine in the store" if counts else "")
        )
    if summary["garbled"] > _MAX_GARBLED_SHARE * items:
        is_parquet = catalogue.format_of(source) == "parquet"
        encoding = "UTF-8" if is_parquet else source.encoding
        remedy = "set catalogue.encoding to theirs (UTF-8, Shift_JIS, EUC-JP, ...)"
        if is_parquet:
            remedy = "Parquet's texts are UTF-8: write them so"
        raise InputError(
            f"catalogue.path {source.path}: {summary['garbled']} of {items} items hold characters "
            f"that are not {encoding}; {remedy}"
        )
