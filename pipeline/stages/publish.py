"""publish: neighbors -> similar_items, the gate, and the pointer."""

from typing import TYPE_CHECKING, Any

from pipeline import asking
from pipeline.errors import GateError, StageError
from pipeline.job import Job, Made
from pipeline.tables import digest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "publish"
CODE = ("pipeline.asking", "pipeline.tables")


def inputs(job: Job) -> dict[str, Any]:
    """The neighbours; and of a run that asked for some only, what the others are taken from."""
    return {"neighbors": job.record("neighbors").fingerprint, **asking.as_input(job)}


def execute(job: Job, version: str) -> Made:
    """Write the similar-item table, one row a pair, sorted by item and rank."""
    from pyspark.sql import functions as F

    searched = job.read("neighbors", "neighbors")
    best = F.slice("neighbors", 1, job.config.neighbors.k)
    pairs = searched.select("item_id", F.posexplode(best))
    table = pairs.select(
        "item_id",
        (F.col("pos") + 1).alias("rank"),
        F.col("col.similar_id").alias("similar_id"),
        F.col("col.score").alias("score"),
    )
    kept = carried(job)
    if kept is not None:
        table = table.unionByName(kept)
    rows = job.store.write(table.orderBy("item_id", "rank"), "similar_items", version)
    written = job.store.read(job.spark, "similar_items", version)
    checks = written.agg(
        F.count_if(F.col("similar_id") == F.col("item_id")).alias("own"),
        F.count_if(F.isnan("score") | (F.abs("score") > 1)).alias("odd"),
    ).first()
    assert checks is not None  # noqa: S101 - an aggregate has one row
    problems = [
        f"{checks[name]} {meaning}"
        for name, meaning in (
            ("own", "items are their own neighbours"),
            ("odd", "scores are no cosines"),
        )
        if checks[name]
    ]
    if digest(written) != digest(table):
        problems.append("the rows written are not those that were found")
    if problems:
        job.store.discard("similar_items", version)
        raise StageError(f"publish: {'; '.join(problems)}; run it again")
    found = job.record("neighbors").outputs["pairs"]
    counts = {"rows": rows, "carried_rows": kept.count() if kept is not None else 0}
    if rows != found + counts["carried_rows"]:
        job.store.discard("similar_items", version)
        raise StageError(f"publish: {rows} rows, not {found} found and {counts}; run it again")
    return Made(tables={"similar_items": rows}, counts=counts)


def carried(job: Job) -> "DataFrame | None":
    """Rows of the published version for items that this run did not ask for.

    Items that have left the catalogue leave the lists; the ranks close up.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    asked, built_on = asking.asked(job), asking.baseline(job)
    if asked is None or built_on is None:
        return None
    items = job.read("items", "ingest").select("item_id")
    others = items.join(asked.select("item_id"), "item_id", how="left_anti")
    still = items.withColumnRenamed("item_id", "similar_id")
    last = job.store.read(job.spark, "similar_items", built_on.similar_items)
    kept = last.join(others, "item_id", how="left_semi").join(still, "similar_id", how="left_semi")
    rank = F.row_number().over(Window.partitionBy("item_id").orderBy("rank"))
    return kept.select("item_id", rank.alias("rank"), "similar_id", "score")


def finish(job: Job) -> str:
    """Pass the gate, then move the pointers: the similar-item table's last.

    Returns:
        the published version.

    Raises:
        GateError: saying all that speaks against the table, and where it is.
    """
    record = job.record(NAME)
    problems = gate(job)
    if problems:
        path = job.store.table_path("similar_items", record.fingerprint)
        raise GateError(f"the table is held back: {'; '.join(problems)}. It is in {path}")
    for table, stage in (
        ("items", "ingest"),
        ("quarantine", "ingest"),
        ("embeddings", "embed"),
        ("short_lists", "neighbors"),
        ("similar_items", NAME),
    ):
        version = job.record(stage).fingerprint
        published = job.store.latest(table)
        if published is None or published["version"] != version:
            job.store.point(table, version, job.run_id)
    return record.fingerprint


def gate(job: Job) -> list[str]:
    """What speaks against publishing."""
    record, found = job.record(NAME), job.record("neighbors")
    wanted = found.outputs["pairs"] + record.counts["carried_rows"]
    problems = []
    if record.tables["similar_items"] != wanted:
        problems.append(f"{record.tables['similar_items']} rows, not {wanted}")
    least = job.config.publish.min_recall
    if least < 0:
        least = job.config.neighbors.target_recall
    measured = found.outputs["recall"]
    if measured["queries"] and measured["value"] < least:
        problems.append(
            f"recall is {measured['value']:.4f}, at least {least} is wanted: "
            "raise neighbors.nprobe if it is set, or index.nlist, or lower neighbors.target_recall"
        )
    return problems
