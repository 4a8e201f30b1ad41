"""What a night builds on: the work of an earlier one, and what has changed since.

A stage's output is defined by its inputs alone. Built on an earlier night's or made from the ground
it is the same table; `--full` makes it from the ground.
"""

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
    """What a stage can build on.

    Attributes:
        record: the earlier night's record of the same stage; None where there is none.
        why: why there is none.
        items: of tokens: the version of the items table that they are of.
    """

    record: StageRecord | None
    why: str = ""
    items: str = ""


def no_base(why: str) -> Base:
    """No base, for this reason."""
    return Base(None, why)


# A stage's NAME and CODE_VERSION.
Stage = tuple[str, int]


def find_earlier(job: Job, stage: Stage, *inputs: dict[str, Any]) -> StageRecord | None:
    """The record of a stage that was made by today's code of these inputs, the first that is."""
    name, code_version = stage
    for some in inputs:
        for variant in (some, some | {"full": True}):
            version = output_name(name, code_version, variant)
            if job.store.find_record(name, version) is None:
                continue
            # Said first, then looked for again: see `Runner._reuse`.
            job.used_versions.add(version)
            job.announce_use()
            record = job.store.find_record(name, version)
            if record is not None:
                return record
    return None


def token_base(job: Job, stage: Stage, inputs: dict[str, Any]) -> Base:
    """The tokens of the published version's items, if they were made as today's would be."""
    if job.full:
        return no_base("--full")
    published = job.store.latest("items")
    if published is None:
        return no_base(FIRST)
    items = job.store.find_record("ingest", published["version"])
    if items is None:
        return no_base("the published items are gone")
    record = find_earlier(job, stage, inputs | {"items": items.outputs["content"]})
    if record is None:
        return no_base("the published tokens were made by other text rules or another release")
    # Not the items that they were made of: others of the same content may stand for those.
    return Base(record, items=published["version"])


def stage_base(job: Job, stage: Stage, after: str, *inputs: dict[str, Any]) -> Base:
    """The output of a stage that belongs to what the stage before it was built on.

    Args:
        job: which run.
        stage: which stage.
        after: the stage before it.
        inputs: what that output may have been made of.
    """
    before = job.record(after)
    if before.outputs["base"] is None:
        if before.run_id == job.run_id:
            return no_base(before.outputs["why"])
        return no_base(f"{after} of run {before.run_id} was made from the ground")
    record = find_earlier(job, stage, *inputs)
    return Base(record) if record else no_base(f"no earlier {stage[0]} was made in the same way")


def changes_version(version: str, base: StageRecord) -> str:
    """The version of tables that tell what has changed since a night: of both nights.

    Under tonight's alone another run, that was broken off, may have left what had changed since
    another night.
    """
    return fingerprint({"version": version, "base": base.fingerprint})


def find_changes(today: "DataFrame", before: "DataFrame") -> "DataFrame":
    """Which items came, have another text, or left: item_id string, change string.

    Args:
        today: the items table.
        before: that of an earlier night.
    """
    from pyspark.sql import functions as F

    def hashed(items: "DataFrame", name: str) -> "DataFrame":
        # Spark's hash passes over nulls: where they are is hashed too.
        texts = [F.col("title"), F.col("description")]
        nulls = [text.isNull() for text in texts]
        return items.select("item_id", F.xxhash64(*texts, *nulls).alias(name))

    both = hashed(today, "now").join(hashed(before, "then"), "item_id", how="full_outer")
    change = (
        F.when(F.col("then").isNull(), F.lit(ADDED))
        .when(F.col("now").isNull(), F.lit(REMOVED))
        .when(F.col("now") != F.col("then"), F.lit(CHANGED))
    )
    return both.select("item_id", change.alias("change")).where("change is not null")


def items_to_compute(changes: "DataFrame") -> "DataFrame":
    """The items that are to be worked on: item_id."""
    from pyspark.sql import functions as F

    return changes.where(F.col("change") != F.lit(REMOVED)).select("item_id")


def outdated_items(changes: "DataFrame") -> "DataFrame":
    """The items whose rows of the earlier night are no more: item_id."""
    from pyspark.sql import functions as F

    return changes.where(F.col("change") != F.lit(ADDED)).select("item_id")


def apply_changes(before: "DataFrame", changes: "DataFrame", rows: "DataFrame") -> "DataFrame":
    """An earlier night's table with new rows for the items that changed.

    Args:
        before: the earlier table.
        changes: the changes table.
        rows: of the items that were added or changed.
    """
    stays = before.join(outdated_items(changes), "item_id", how="left_anti")
    return stays.unionByName(rows)
