"""The candidates table: the lists table with what rules read of each item."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.retrieval import groups
from pipeline.retrieval.ranking import Int64
from pipeline.stages import incremental
from pipeline.stages.context import Job
from pipeline.stages.index import lists
from pipeline.stages.neighbors import rules
from pipeline.storage.list_schemas import CANDIDATES
from pipeline.store.arrow_files import Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROWS_PER_FILE = 200_000


def write(job: Job, version: str, sizes: Int64, traits: "DataFrame") -> None:
    """Write the candidates table: what has changed, on top of an earlier one; or all of it.

    Args:
        job: the run.
        version: of the table.
        sizes: int64[nlist], how many items each list has.
        traits: of all items, from `rules.item_traits`.
    """
    job.line.note = "reading what the rules ask for"
    # Announced before it is written, so that gc does not remove it.
    job.used_versions.add(version)
    job.announce_use()
    base = _find_base(job)
    if base is None or not _add_layer(job, base, version, traits):
        _write_all(job, version, sizes, traits)
    job.line.note = ""


def _find_base(job: Job) -> str | None:
    """The published candidates, if the lists are the published ones and one more layer."""
    published = job.state.published
    if published is None or job.read_layer("lists", "index") is None:
        return None
    record = job.store.find_record("neighbors", published.stages.get("neighbors", ""))
    if record is None or "candidates" not in record.tables:
        return None
    if record.inputs["lists"] != job.record("index").outputs["base"]:
        return None
    if "edits" not in (record.inputs["rules"] or {}):
        # An earlier release wrote it, with other columns.
        return None
    job.used_versions.add(record.fingerprint)
    job.announce_use()
    return record.fingerprint if incremental.is_whole(job, record) else None


def _add_layer(job: Job, base: str, version: str, traits: "DataFrame") -> bool:
    """Write what has changed since the base; nothing is written if that is too much.

    Returns:
        whether it was written.
    """
    from pyspark import StorageLevel

    store, counts = job.store, job.record("index").tables
    arrivals, departures = job.read("arrivals", "index"), job.read("departures", "index")
    before = store.read(job.spark, "candidates", base)
    moved = arrivals.select("item_id").unionByName(departures.select("item_id"))
    changed = rules.items_with_changed_traits(traits, before)
    changed = changed.join(moved, "item_id", how="left_anti").persist(StorageLevel.DISK_ONLY)
    try:
        moves = counts["arrivals"] + counts["departures"]
        row_count = moves + 2 * changed.count()
        if not store.can_add_layer("candidates", base, row_count):
            return False
        staying = job.read("lists", "index").join(changed, "item_id", how="left_semi")
        new = arrivals.unionByName(staying).join(traits, "item_id", how="inner")
        old = before.select("item_id", "list").join(changed, "item_id", how="left_semi")
        rows, removals = (
            Rows(_sorted(frame, row_count), iter)
            for frame in (new.select(*CANDIDATES.names), departures.unionByName(old))
        )
        store.write_layer("candidates", version, base, rows, removals)
    finally:
        changed.unpersist()
    return True


def _sorted(rows: "DataFrame", count: int) -> "DataFrame":
    """Rows in a few partitions, each in the order of the lists."""
    parts = rows.repartition(max(1, -(-count // _ROWS_PER_FILE)), "list")
    return parts.sortWithinPartitions("list", "item_id")


def _write_all(job: Job, version: str, sizes: Int64, traits: "DataFrame") -> None:
    rows = job.read("lists", "index").select("item_id", "list")
    traits = traits.join(rows, "item_id", how="inner")
    files = job.store.open_clustered("lists", job.record("index").fingerprint)
    # As many files as the lists table has.
    plan = groups.plan_by_rows(np.maximum(sizes, 1), max(1, files.file_count))
    job.store.write_arrow("candidates", version, lists.lists_with_traits(files, traits, plan))
