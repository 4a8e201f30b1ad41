"""Edits by hand: what [edits] and rules.deny say of pairs of an item and a neighbour.

The rows of the table are checked one by one: a row that makes no sense is refused with the reason,
and the others are used. Those that are in force on the run's date decide what the run computes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline import catalogue
from pipeline.conditions import columns_of
from pipeline.config.sections import CatalogueSection, Config, EditsSection
from pipeline.errors import InputError
from pipeline.retrieval.pair_edits import MAX_CONDITIONAL
from pipeline.stages.context import Job
from pipeline.stages.neighbors import deny_list, edit_rows
from pipeline.stages.neighbors.deny_list import naming
from pipeline.stages.neighbors.edit_rows import CHECKED, COLUMNS, MICRO
from pipeline.stages.neighbors.edit_state import State
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Edits with a condition, at most: each is computed for every item.
MAX_WITH_CONDITIONS = 1000
# In SQL: edits of all items, and of pairs of ids.
ALL = "item_id is null and item_where is null"
BY_IDS = "item_id is not null and similar_id is not null"


def state(job: Job) -> State:
    """What the edits in force are; read once a run.

    Raises:
        InputError: a table can't be read, or there are too many edits with conditions.
    """
    return job.once("edits", lambda: _state(job))


def _state(job: Job) -> State:
    from pyspark.sql import functions as F

    if not job.config.edits.exists:
        return State(denies=bool(job.config.rules.deny))
    rows = in_force(job)
    is_valid, is_boost = F.col("reason").isNull(), F.col("action") == "boost"

    def occurs(*conditions: "Column") -> "Column":
        condition = is_valid
        for other in conditions:
            condition &= other
        return F.coalesce(F.max(condition), F.lit(False))

    with_condition = is_valid & F.expr(
        f"item_where is not null or similar_where is not null or (action = 'pin' and {ALL})"
    )
    sums = rows.agg(
        # In JSON, so that it counts in which column a value is.
        F.sum(F.xxhash64(F.to_json(F.struct(*rows.columns))).cast("decimal(38,0)")).alias("sum"),
        occurs(F.col("action") == "deny", F.expr(BY_IDS)).alias("denies"),
        occurs(is_boost, F.expr(BY_IDS)).alias("boosts"),
        occurs(is_boost, F.expr(ALL)).alias("boosts_of_all"),
        occurs(F.col("action") == "pin").alias("pins"),
        F.count(F.when(with_condition, True)).alias("conditional"),
    ).first()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    if sums["conditional"] > MAX_WITH_CONDITIONS:
        raise InputError(
            f"{_label(job.config.edits)}: {sums['conditional']:,} edits with conditions, and pins "
            f"of all items, are in force; {MAX_WITH_CONDITIONS:,} may be, since each is computed "
            "for every item. Name the items by their ids"
        )
    found = rows.where(with_condition).drop("reason").collect()
    edits = sorted(
        (
            (*(row[name] for name in COLUMNS[:4]), row["action"], row["micro"] / MICRO)
            for row in found
        ),
        key=lambda values: [(value is not None, value or "") for value in values[:5]] + [values[5]],
    )
    state = State(
        digest=str(sums["sum"] or 0),
        denies=bool(job.config.rules.deny) or sums["denies"],
        **{name: sums[name] for name in ("boosts", "boosts_of_all", "pins")},
        conditional=tuple(edits),
    )
    if len(state.numbered) > MAX_CONDITIONAL:
        raise InputError(
            f"{_label(job.config.edits)}: {len(state.numbered)} edits with a condition name "
            f"certain items too (item_id, item_where); {MAX_CONDITIONAL} may be in force. Name "
            "both items by their ids, or leave item_id and item_where empty for all items"
        )
    return state


def _label(section: EditsSection) -> str:
    return f"edits.path {section.path}" if section.path else f"edits.table {section.table}"


def in_force(job: Job) -> "DataFrame":
    """The distinct rows of [edits] that are in force on the run's date: CHECKED."""
    return job.once("edits in force", lambda: _read_rows(job))


def _read_rows(job: Job) -> "DataFrame":
    section, further = job.config.edits, job.config.catalogue.further
    # The variants of the table are made of the same rows, whatever has become of the file.
    rows = job.once("edits as written", lambda: _read_texts(job), shared=True)
    k, day, columns = job.config.neighbors.k, section.date, columns_of(further)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return edit_rows.check(batches, columns, k, day)

    # Texts that differ in blanks at their ends are the same edit.
    return job.keep(rows.mapInArrow(run, schemas.ddl(CHECKED)).distinct())


def _read_texts(job: Job) -> "DataFrame":
    """The rows of [edits] as texts, and whether a row is unreadable."""
    from pyspark.sql import functions as F

    section = job.config.edits
    source = _source_of_edits(job.config)
    with naming(_label(section).split()[0], "catalogue.table" if section.table else ""):
        raw = catalogue.open_snapshot(job.spark, source).rows
        names = catalogue.data_columns(raw)
        edit_rows.check_columns(names, _label(section))
        corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
        texts = [
            (F.col(f"`{name}`") if name in names else F.lit(None)).cast("string").alias(name)
            for name in COLUMNS
        ]
        kept = job.keep(raw.select(*texts, corrupt.isNotNull().alias("unreadable")))
        kept.count()
    return kept


def read(job: Job) -> "DataFrame":
    """The edits that are in force, those of rules.deny too.

    Returns:
        the first four of COLUMNS; action: boost, deny or pin; micro long: what is added to the
        score, or the rank, in millionths.

    Raises:
        InputError: a table can't be read.
    """
    names = (*COLUMNS[:4], "action", "micro")
    frames = []
    if job.config.edits.exists:
        frames.append(in_force(job).where("reason is null").select(*names))
    if job.config.rules.deny:
        frames.append(_denied(job).select(*names))
    return frames[0] if len(frames) == 1 else frames[0].unionByName(frames[1])


def read_rejected(job: Job) -> "DataFrame":
    """The rows of [edits] that make no sense: COLUMNS, and the reason."""
    return in_force(job).where("reason is not null").select(*COLUMNS, "reason")


def _denied(job: Job) -> "DataFrame":
    """The rows of rules.deny as edits."""
    from pyspark.sql import functions as F

    rows, none = deny_list.read(job), F.lit(None).cast("string")
    is_pair = F.col("other").isNotNull()
    return rows.select(
        F.when(is_pair, F.col("item_id")).alias("item_id"),
        none.alias("item_where"),
        F.coalesce("other", "item_id").alias("similar_id"),
        none.alias("similar_where"),
        F.lit("deny").alias("action"),
        F.lit(0).cast("bigint").alias("micro"),
    )


def denied_items(job: Job) -> "DataFrame":
    """The items that are denied to all others by their id: item_id."""
    denied = read(job).where(f"action = 'deny' and similar_id is not null and {ALL}")
    return denied.selectExpr("similar_id as item_id").distinct()


def denied_pairs(job: Job) -> "DataFrame":
    """The denied pairs of ids: item_id, similar_id."""
    return read(job).where(f"action = 'deny' and {BY_IDS}").select("item_id", "similar_id")


def _source_of_edits(config: Config) -> catalogue.Source | catalogue.TableSource:
    section = CatalogueSection(path=config.edits.path, table=config.edits.table)
    if section.uses_files:
        return catalogue.Source.from_config(section, config.object_stores())
    return catalogue.TableSource.from_config(section)
