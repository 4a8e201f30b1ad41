"""publish: neighbors -> similar_items and details, the gate, and the pointer."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError, StageError
from pipeline.stages.context import Job, StageResult
from pipeline.stages.neighbors import query_items, rules
from pipeline.stages.publish import details, examples, gate, quality
from pipeline.store import publications
from pipeline.store.schemas import digest, digest_with

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "publish"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1


def inputs(job: Job) -> dict[str, Any]:
    """The neighbours; and of a run that asked for some only, what the others are taken from."""
    return {"neighbors": job.record("neighbors").fingerprint, **query_items.publish_inputs(job)}


def execute(job: Job, version: str) -> StageResult:
    """Write the similar-item table, one row a pair, sorted by item and rank."""
    from pyspark.sql import functions as F

    found = job.read("neighbors", "neighbors")
    table, kept = _pairs(found, job.config.neighbors.k), carried_over(job)
    if kept is None:
        # Items are fewer than pairs: they are sorted.
        ordered = _pairs(found.orderBy("item_id"), job.config.neighbors.k)
    else:
        table = table.unionByName(kept)
        ordered = table.orderBy("item_id", "rank")
    rows = job.store.write(ordered, "similar_items", version)
    written = job.store.read(job.spark, "similar_items", version)
    own = F.count_if(F.col("similar_id") == F.col("item_id"))
    odd = F.count_if(F.isnan("score") | (F.abs("score") > 1))
    found_rows, checks = digest_with(written, own=own, odd=odd)
    problems = [
        f"{checks[name]} {meaning}"
        for name, meaning in (
            ("own", "items are their own neighbours"),
            ("odd", "scores are no cosines"),
        )
        if checks[name]
    ]
    if found_rows != digest(table):
        problems.append("the rows written are not those that were found")
    if problems:
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {'; '.join(problems)}; run it again")
    wanted = job.record("neighbors").outputs["pairs"]
    counts: dict[str, Any] = {"rows": rows, "carried_rows": kept.count() if kept is not None else 0}
    if rows != wanted + counts["carried_rows"]:
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {rows} rows, not {wanted} found and {counts}; run it again")
    by_list = _pairs(found, job.config.neighbors.k) if kept is None else written
    about = quality.Table(written, by_list, job.record("ingest").tables["items"])
    shown = quality.measure_quality(job, about)
    few = examples.write(job, version, written, shown["hubs"]["most_shown"])
    tables = {"similar_items": rows, "details": details.write(job, version), examples.TABLE: few}
    return StageResult(tables=tables, counts=counts | {"quality": shown})


def _pairs(neighbors: "DataFrame", k: int) -> "DataFrame":
    """The similar-item table's rows, each item's by rank, in the order of the items."""
    from pyspark.sql import functions as F

    best = F.posexplode(F.slice("neighbors", 1, k))
    return neighbors.select("item_id", best).select(
        "item_id",
        (F.col("pos") + 1).alias("rank"),
        F.col("col.similar_id").alias("similar_id"),
        F.col("col.score").alias("score"),
    )


def carried_over(job: Job) -> "DataFrame | None":
    """Rows of the published version for items that this run did not ask for.

    Items that have left the catalogue, or may not be shown any more, leave the lists; the ranks
    close up.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    asked, built_on = query_items.select_query_items(job), query_items.baseline(job)
    if asked is None or built_on is None:
        return None
    others = rules.query_rule_items(job).join(asked.select("item_id"), "item_id", how="left_anti")
    still = rules.eligible_items(job).withColumnRenamed("item_id", "similar_id")
    last = job.store.read(job.spark, "similar_items", built_on.similar_items)
    kept = last.join(others, "item_id", how="left_semi").join(still, "similar_id", how="left_semi")
    kept = rules.without_denied(job, kept)
    rank = F.row_number().over(Window.partitionBy("item_id").orderBy("rank"))
    return kept.select("item_id", rank.alias("rank"), "similar_id", "score")


def pass_gate_and_publish(job: Job, measured: gate.Measurements, *, retrained: bool = False) -> str:
    """Pass the gate, then move the pointers: the similar-item table's last.

    Args:
        job: whose stages are all done.
        measured: what the gate found out about the table.
        retrained: whether this run was told to train a new model.

    Returns:
        the published version.

    Raises:
        GateError: saying all that speaks against the table, and where it is.
    """
    record = job.record(NAME)
    problems = gate.problems(job, measured, retrained=retrained)
    if problems:
        path = job.store.table_path("similar_items", record.fingerprint)
        raise GateError(f"the table is held back: {'; '.join(problems)}. It is in {path}")
    publications.publish(job.store, job.run_id, job.fingerprints)
    return record.fingerprint
