"""publish: neighbors -> similar_items and details, and the gate."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError, StageError
from pipeline.stages.context import Job, StageResult
from pipeline.stages.neighbors import query_items, rules
from pipeline.stages.publish import details, examples, gate, quality
from pipeline.store.schemas import digest, digest_with

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "publish"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1


def inputs(job: Job) -> dict[str, Any]:
    """The neighbours; and if some items were no queries, where the rows of those come from."""
    return {"neighbors": job.record("neighbors").fingerprint, **query_items.publish_inputs(job)}


def execute(job: Job, version: str) -> StageResult:
    """Write the similar-item table, one row a pair, sorted by item and rank."""
    rows, carried_rows = _write_pairs(job, version)
    expected = job.record("neighbors").outputs["pairs"]
    counts: dict[str, Any] = {"rows": rows, "carried_rows": carried_rows}
    if rows != expected + carried_rows:
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {rows} rows, not {expected} found and {counts}; run it again")
    written = job.store.read(job.spark, "similar_items", version)
    by_list = written if carried_rows else _pairs(_neighbors(job), job.config.neighbors.k)
    items = job.record("ingest").tables["items"]
    with ThreadPoolExecutor(2) as pool:
        # These are independent of each other: Spark does them at the same time.
        writing = pool.submit(details.write, job, version)
        measuring = pool.submit(quality.measure_quality, job, written, items)
        hubs = quality.hubs(by_list, items)
        shown = examples.write(job, version, written, hubs["most_shown"])
        measured = measuring.result() | {"hubs": hubs}
        tables = {"similar_items": rows, "details": writing.result(), examples.TABLE: shown}
    return StageResult(tables=tables, counts=counts | {"quality": measured})


def _write_pairs(job: Job, version: str) -> tuple[int, int]:
    """Write the table; return its rows, and how many of them were carried over."""
    from pyspark import StorageLevel

    neighbors, k, carried = _neighbors(job), job.config.neighbors.k, carried_over(job)
    pairs = _pairs(neighbors, k)
    if carried is None:
        # Sorting items is cheaper than sorting pairs: there are fewer of them.
        return _write_checked(job, version, _pairs(neighbors.orderBy("item_id"), k), pairs), 0
    # The sort reads it twice, and so do the checks.
    carried = carried.persist(StorageLevel.DISK_ONLY)
    try:
        pairs = pairs.unionByName(carried)
        rows = _write_checked(job, version, pairs.orderBy("item_id", "rank"), pairs)
        return rows, carried.count()
    finally:
        carried.unpersist()


def _write_checked(job: Job, version: str, ordered: "DataFrame", expected: "DataFrame") -> int:
    """Write the table, and compare what was written with what was expected.

    Raises:
        StageError: it is not the same, or a row makes no sense; the table is discarded.
    """
    rows = job.store.write(ordered, "similar_items", version)
    problems = _problems(job.store.read(job.spark, "similar_items", version), expected)
    if problems:
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {'; '.join(problems)}; run it again")
    return rows


def _neighbors(job: Job) -> "DataFrame":
    return job.read("neighbors", "neighbors")


def _problems(written: "DataFrame", expected: "DataFrame") -> list[str]:
    """What is wrong with the rows written, by their digest and values."""
    from pyspark.sql import functions as F

    own = F.count_if(F.col("similar_id") == F.col("item_id"))
    odd = F.count_if(F.isnan("score") | (F.abs("score") > 1))
    written_digest, counts = digest_with(written, own=own, odd=odd)
    meanings = {"own": "items are their own neighbours", "odd": "scores are no cosines"}
    problems = [f"{counts[name]} {meaning}" for name, meaning in meanings.items() if counts[name]]
    if written_digest != digest(expected):
        problems.append("the rows written are not those that were found")
    return problems


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
    """Rows of the published version for items that are no queries of this run; None if all are.

    Neighbours that have left the catalogue, or may not be neighbours any more, are left out, and
    the ranks after them move up.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    queries, baseline = query_items.select_query_items(job), query_items.baseline(job)
    if queries is None or baseline is None:
        return None
    others = rules.query_rule_items(job).join(queries.select("item_id"), "item_id", how="left_anti")
    eligible = rules.eligible_items(job).withColumnRenamed("item_id", "similar_id")
    published = query_items.read_baseline(job, "similar_items", baseline.similar_items)
    pairs = published.join(others, "item_id", how="left_semi")
    pairs = pairs.join(eligible, "similar_id", how="left_semi")
    pairs = rules.without_denied(job, pairs)
    rank = F.row_number().over(Window.partitionBy("item_id").orderBy("rank"))
    return pairs.select("item_id", rank.alias("rank"), "similar_id", "score")


def pass_gate(job: Job, measured: gate.Measurements, *, retrained: bool = False) -> None:
    """Pass the gate.

    Args:
        job: the run; all its stages are done.
        measured: the gate's measurements of the table.
        retrained: whether the run was told to train a new model.

    Raises:
        GateError: with all reasons to hold the table back, and where it is.
    """
    record = job.record(NAME)
    problems = gate.problems(job, measured, retrained=retrained)
    if problems:
        path = job.store.table_path("similar_items", record.fingerprint)
        raise GateError(f"the table is held back: {'; '.join(problems)}. It is in {path}")
