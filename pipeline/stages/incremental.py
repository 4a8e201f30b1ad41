"""Incremental stages: what a stage can build on, and what has changed since.

A stage's output is defined by its inputs alone: computed from an earlier version or from nothing,
it is the same table. `--full` computes every output from nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.stages.context import Job, output_name
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
FIRST = "nothing is published yet"


@dataclass(frozen=True)
class Base:
    """The earlier output of a stage that the stage can build on.

    Attributes:
        record: the record of that output; None if there is none.
        why: the reason if there is none.
        items: for tokens: the version of the items table that they belong to.
    """

    record: StageRecord | None
    why: str = ""
    items: str = ""


def no_base(why: str) -> Base:
    """No earlier output, with the reason."""
    return Base(None, why)


# A stage's NAME and CODE_VERSION.
Stage = tuple[str, int]


def find_earlier(job: Job, stage: Stage, *inputs: dict[str, Any]) -> StageRecord | None:
    """The record of a stage's earlier output that has today's code version and some inputs.

    Args:
        job: the job; its used versions get the output.
        stage: the stage.
        inputs: the inputs to try, in this order.
    """
    name, code_version = stage
    for candidate in inputs:
        for variant in (candidate, candidate | {"full": True}):
            version = output_name(name, code_version, variant)
            if job.store.find_record(name, version) is None:
                continue
            # The use is announced before the record is read again: see `Runner._reuse`.
            job.used_versions.add(version)
            job.announce_use()
            record = job.store.find_record(name, version)
            if record is not None and is_whole(job, record):
                return record
    return None


def is_whole(job: Job, record: StageRecord) -> bool:
    """Whether an earlier output can be built on; if it is damaged, that is said."""
    damage = job.find_damage(record)
    if damage:
        job.store.say(f"{damage}. Nothing is built on that output of {record.stage}")
    return not damage


def token_base(job: Job, stage: Stage, inputs: dict[str, Any]) -> Base:
    """The tokens of the published items, if today's text rules and code would make the same.

    Args:
        job: the job.
        stage: tokenize.
        inputs: today's inputs of tokenize.
    """
    if job.full:
        return no_base("--full")
    published = job.state.version("items")
    if published is None:
        return no_base(FIRST)
    items = job.store.find_record("ingest", published)
    if items is None:
        return no_base("the published items are gone")
    if not is_whole(job, items):
        return no_base("the published items are damaged")
    record = find_earlier(job, stage, inputs | {"items": items.outputs["content"]})
    if record is None:
        return no_base(
            "the published tokens are damaged, or were made by other text rules or another release"
        )
    # The tokens may have been made from another items table with the same content.
    return Base(record, items=published)


def stage_base(job: Job, stage: Stage, previous: str, *inputs: dict[str, Any]) -> Base:
    """The output of a stage that belongs to what the previous stage was built on.

    Args:
        job: the job.
        stage: the stage.
        previous: the stage before it.
        inputs: the inputs that the earlier output may have been made from.
    """
    before = job.record(previous)
    if before.outputs["base"] is None:
        if before.run_id == job.run_id:
            return no_base(before.outputs["why"])
        return no_base(f"{previous} of run {before.run_id} built on no earlier night")
    record = find_earlier(job, stage, *inputs)
    if record is None:
        return no_base(f"no whole earlier {stage[0]} was made in the same way")
    return Base(record)


def changes_version(version: str, base: StageRecord) -> str:
    """The version of tables that hold the difference between two versions; it is made of both.

    A run that was broken off may have written the difference between this version and another base.

    Args:
        version: the new version.
        base: the record of the earlier output.
    """
    return fingerprint({"version": version, "base": base.fingerprint})


def find_changes(
    today: "DataFrame", before: "DataFrame", fields: Sequence[str] = ()
) -> "DataFrame":
    """Which items were added, have another text, or were removed.

    Args:
        today: today's items table.
        before: an earlier items table.
        fields: the columns that are text beside title and description.

    Returns:
        item_id string; change string: added, changed or removed.
    """
    from pyspark.sql import functions as F

    def hashed(items: "DataFrame", name: str) -> "DataFrame":
        # Spark's hash skips nulls, so their positions are hashed too.
        texts = [
            F.col(text) if text in items.columns else F.lit(None).cast("string")
            for text in ("title", "description", *fields)
        ]
        nulls = [text.isNull() for text in texts]
        return items.select("item_id", F.xxhash64(*texts, *nulls).alias(name))

    both = hashed(today, "now").join(hashed(before, "then"), "item_id", how="full_outer")
    change = (
        F.when(F.col("then").isNull(), F.lit(ADDED))
        .when(F.col("now").isNull(), F.lit(REMOVED))
        .when(F.col("now") != F.col("then"), F.lit(CHANGED))
    )
    return both.select("item_id", change.alias("change")).where("change is not null")


def item_changes(job: Job, today: str, before: str) -> "tuple[DataFrame, dict[str, int]]":
    """The changes between two versions of the items table, computed once a run.

    Args:
        job: the run; its Spark session keeps the changes to its end.
        today: the later version.
        before: the earlier version.

    Returns:
        the frame of `find_changes`, and how many items were added, changed and removed.
    """

    def compute() -> "tuple[DataFrame, dict[str, int]]":
        fields = [field.column for field in job.config.embed.field]
        items, earlier = (job.store.read(job.spark, "items", name) for name in (today, before))
        changes = job.keep(find_changes(items, earlier, fields))
        by_kind = {row[0]: row[1] for row in changes.groupBy("change").count().collect()}
        return changes, {kind: by_kind.get(kind, 0) for kind in (ADDED, CHANGED, REMOVED)}

    return job.once(f"changes of items {before} to {today}", compute, shared=True)


def items_to_compute(changes: "DataFrame") -> "DataFrame":
    """The items that were added or changed: item_id."""
    from pyspark.sql import functions as F

    return changes.where(F.col("change") != F.lit(REMOVED)).select("item_id")


def outdated_items(changes: "DataFrame") -> "DataFrame":
    """The items that were changed or removed, whose earlier rows are no longer valid: item_id."""
    from pyspark.sql import functions as F

    return changes.where(F.col("change") != F.lit(ADDED)).select("item_id")


def changed_rows(counts: dict[str, int]) -> int:
    """How many rows and removals bring a table up to date that has one row an item.

    Args:
        counts: how many items were added, changed and removed.
    """
    return counts[ADDED] + 2 * counts[CHANGED] + counts[REMOVED]


def apply_changes(before: "DataFrame", changes: "DataFrame", rows: "DataFrame") -> "DataFrame":
    """An earlier table, brought up to date.

    Args:
        before: the earlier table.
        changes: the changes table.
        rows: the rows of the items that were added or changed.
    """
    unchanged = before.join(outdated_items(changes), "item_id", how="left_anti")
    return unchanged.unionByName(rows)
