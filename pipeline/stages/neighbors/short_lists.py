"""Short lists: which items have fewer than k neighbours, and why."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stages.context import Job
from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.store import reason_codes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def find_short_lists(
    context: SearchContext, version: str, *, may_be_short: bool
) -> "DataFrame | None":
    """The table short_lists: every query with fewer than k neighbours, their number, and why.

    Args:
        context: what the search works with.
        version: of the neighbors table, which has a row for every query with a vector.
        may_be_short: whether rows of that table may have fewer than k neighbours.

    Returns:
        the rows; None if there are none for certain.
    """
    job = context.job
    # Only reading all vectors shows which items have none.
    embeddings, vectors = job.record("embed").tables["embeddings"], _vectors(job)
    without = None if embeddings == vectors else _without_vector(context)
    if not may_be_short:
        return without
    rows = _with_vector(context, version)
    return rows if without is None else rows.unionByName(without)


def _with_vector(context: SearchContext, version: str) -> "DataFrame":
    """Queries with a vector and with fewer than k neighbours."""
    from pyspark.sql import functions as F

    job, vectors = context.job, _vectors(context.job)
    short = context.short_rows(version).select("item_id", "neighbors")
    reason = F.when(F.col("neighbors") == F.lit(vectors - 1), F.lit(reason_codes.FEW_ITEMS))
    if rules.has_rules(job.config):
        possible = rules.possible_neighbors(context.lists, short.select("item_id"))
        short = short.join(possible, "item_id", how="left")
        reason = reason.when(
            F.col("neighbors") >= F.col("possible"), F.lit(reason_codes.FEW_ELIGIBLE)
        )
    otherwise = (
        reason_codes.RULES if context.search.rules.excludes_pairs else reason_codes.FEW_IN_LISTS
    )
    reason = reason.otherwise(F.lit(otherwise)).alias("reason")
    return short.select("item_id", "neighbors", reason)


def _vectors(job: Job) -> int:
    vectors: int = job.record("index").outputs["vectors"]
    return vectors


def count(rows: pa.Table) -> dict[str, int]:
    """How many rows of the table have each reason, and their neighbours; and how many have none."""
    by_reason = rows.group_by("reason").aggregate([("neighbors", "count"), ("neighbors", "sum")])
    counts = {"without neighbors": pc.sum(pc.equal(rows["neighbors"], 0)).as_py() or 0}
    for row in by_reason.to_pylist():
        counts[f"{row['reason']} items"] = row["neighbors_count"]
        counts[f"{row['reason']} pairs"] = row["neighbors_sum"]
    return counts


def _without_vector(context: SearchContext) -> "DataFrame":
    """Queries without a vector."""
    from pyspark.sql import functions as F

    job = context.job
    items = job.read("embeddings", "embed").where("half is null")
    if context.query_items is not None:
        items = items.join(context.query_items.select("item_id"), "item_id", how="left_semi")
    if job.config.rules.query:
        items = items.join(rules.query_rule_items(job), "item_id", how="left_semi")
    reason = F.when(F.col("tokens") == 0, F.lit(reason_codes.NO_TOKENS)).otherwise(
        F.lit(reason_codes.NO_VECTOR)
    )
    return items.select("item_id", F.lit(0).alias("neighbors"), reason.alias("reason"))
