"""ingest: catalogue -> items and quarantine."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.config.sections import Config
from pipeline.errors import InputError, StageError
from pipeline.stages.context import Job, StageResult
from pipeline.stages.ingest import profile, published_items
from pipeline.stages.ingest.validation import checked_rows, row_as_text
from pipeline.store.arrow_files import Rows
from pipeline.store.fingerprint import fingerprint
from pipeline.store.reason_codes import QUARANTINE
from pipeline.store.schemas import check, digest_halves, digest_text, items_schema
from pipeline.text.placeholders import Placeholders

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

_Source = catalogue.Source | catalogue.TableSource
NAME = "ingest"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 5

# The settings of [catalogue] that decide what becomes of its files' bytes.
_READING = {"format", "columns", "types", "encoding", "delimiter", "quote"}
# With a larger share of rows that hold U+FFFD the encoding must be wrong.
_MAX_GARBLED_SHARE = 0.2
# Ids that a spreadsheet has rounded, as in 4.90178E+12; JSON's writers leave the plus sign out.
_ROUNDED = r"\A\d(\.\d+E\+?|E\+)\d{1,3}\z"


def inputs(job: Job) -> dict[str, Any]:
    """The catalogue's settings, the state of its files but not where they are, placeholders."""
    blanks = placeholders(job.config)
    reading = job.config.catalogue.model_dump(include=_READING)
    if not reading["types"]:
        # A release that had no types made the same.
        del reading["types"]
    return {
        "catalogue": reading,
        "files": _state(job),
        "placeholders": {"texts": sorted(blanks.texts), "blank": blanks.blank},
    }


def placeholders(config: Config) -> Placeholders:
    """The titles and descriptions that are none."""
    section = config.text
    return Placeholders.of(section.placeholder_texts, blank=section.placeholders == "blank")


def _state(job: Job) -> list[list[object]]:
    source = catalogue.source_of(job.config)
    if isinstance(source, catalogue.Source):
        return catalogue.identity(source)
    return job.catalogue_snapshot.state


def execute(job: Job, version: str) -> StageResult:
    """Read the catalogue; write one valid row an item, and all others to the quarantine."""
    source, snapshot = catalogue.source_of(job.config), job.catalogue_snapshot
    try:
        with catalogue.explained_damage(source):
            result, content = _ingest(job, source, snapshot, version)
    except Exception:
        if isinstance(source, catalogue.Source):
            # A change is the cause of whatever failed.
            _check_unchanged(job, source, snapshot, "", version)
        raise
    _check_unchanged(job, source, snapshot, content, version)
    snapshot.release()
    result.counts.update(published_items.counts(job, version, result.outputs["content"]))
    return result


def _check_unchanged(
    job: Job, source: _Source, snapshot: catalogue.Snapshot, content: str, version: str
) -> None:
    """Check that the catalogue is the same as before; a snapshot with a number always is.

    Args:
        job: the run.
        source: where the catalogue is.
        snapshot: as it was.
        content: the digest of the rows that were read, if the snapshot has one.
        version: of the tables that were made of it.

    Raises:
        InputError: it has changed; the tables are discarded.
    """
    if isinstance(source, catalogue.Source):
        is_same = catalogue.identity(source) == snapshot.state
    else:
        is_same = content == snapshot.content
    if not is_same:
        for table in ("items", "quarantine"):
            job.store.discard_version(table, version)
        raise InputError(
            f"{source.label}: changed while it was read; run again when it is written to its end"
        )


def _ingest(
    job: Job, source: _Source, snapshot: catalogue.Snapshot, version: str
) -> tuple[StageResult, str]:
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    raw = snapshot.rows
    is_valid = F.size("reasons") == 0
    is_rounded = F.col("item_id").rlike(_ROUNDED)
    with checked_rows(job.spark, source, snapshot, placeholders(job.config)) as checked:
        names = items_schema(source.further).names
        observation, content = Observation("ingest"), digest_halves(names, is_valid)
        present = profile.columns_of(raw, source, names)
        measures = profile.aggregates(present, is_valid, profile.one_title_in(source))
        # Spark copies what is observed; the rows as they were read are not needed any more.
        flags = ["reasons", catalogue.NUMBERS_LOST, "title_placeholder", "description_placeholder"]
        row_halves = []
        if snapshot.content:
            checked = checked.withColumn("row", F.to_json("raw"))
            row_halves = digest_halves(["row"])
            flags.append("row")
        rows = checked.select(*names, *flags).observe(
            observation,
            F.count("*").alias("read"),
            F.count_if(is_valid & _is_garbled()).alias("garbled"),
            F.count_if(is_valid & F.col(catalogue.NUMBERS_LOST)).alias("lost"),
            F.count_if(F.col("title_placeholder")).alias("placeholder_titles"),
            F.count_if(F.col("description_placeholder")).alias("placeholder_descriptions"),
            F.count_if(is_rounded).alias("rounded"),
            *(value.alias(name) for name, value in measures.items()),
            # The rows are not read again for their digest.
            *(half.alias(f"half{n}") for n, half in enumerate(content)),
            *(half.alias(f"row{n}") for n, half in enumerate(row_halves)),
        )
        items = job.store.write(rows.where(is_valid).select(*names), "items", version)
        summary = observation.get
        reasons: dict[str, int] = {}
        quarantined = 0
        if summary["read"] == items:
            job.store.write_rows([], "quarantine", version)
        else:
            reasons, quarantined = _write_quarantine(job, checked.where(~is_valid), version)
    if summary["read"] != items + quarantined:
        raise StageError(f"ingest lost rows: {summary} read, {items} kept, {quarantined} set aside")
    _check_usable(source, summary, items, reasons)
    rows_content = digest_text(summary[f"row{n}"] for n in range(2)) if snapshot.content else ""
    result = StageResult(
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
            "profile": profile.profile({name: summary[name] for name in measures}),
        },
        outputs={"content": _content(digest_text((summary["half0"], summary["half1"])), source)},
    )
    return result, rows_content


def _content(digest: str, source: _Source) -> str:
    """What tells the content of an items table from another, the names of its columns included."""
    return fingerprint({"rows": digest, "further": source.further}) if source.further else digest


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


def no_valid_row(label: str, rows: int, reasons: Mapping[str, int]) -> str:
    """What is wrong with a catalogue of which no row can be used: how many rows, and why."""
    counts = "; ".join(f"{r}: {count:,}, {QUARANTINE[r].en}" for r, count in reasons.items())
    return f"{label}: no valid row among {rows:,}{f' ({counts})' if counts else ''}"


def _check_usable(
    source: _Source, summary: dict[str, int], items: int, reasons: dict[str, int]
) -> None:
    if not items:
        advice = "; see the table quarantine in the store" if reasons else ""
        raise InputError(no_valid_row(source.label, summary["read"], reasons) + advice)
    if summary["garbled"] > _MAX_GARBLED_SHARE * items:
        encoding, remedy = "UTF-8", "the texts of its format are UTF-8: write them so"
        if isinstance(source, catalogue.Source) and catalogue.is_parsed_text(source):
            encoding = source.encoding
            remedy = "set catalogue.encoding to theirs (UTF-8, Shift_JIS, EUC-JP, ...)"
        raise InputError(
            f"{source.label}: {summary['garbled']} of {items} items hold characters "
            f"that are not {encoding}; {remedy}"
        )
