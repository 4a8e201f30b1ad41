"""Which items have fewer neighbours than were asked for, and why."""

from typing import TYPE_CHECKING

from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.store import reasons

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def find_short_lists(night: SearchContext, neighbors: "DataFrame") -> "DataFrame":
    """Every item with fewer than k neighbours, how many it has, and why.

    Args:
        night: what the night works with.
        neighbors: what was found, a row for every item with a vector that asks.
    """
    from pyspark.sql import functions as F

    job = night.job
    k, vectors = job.config.neighbors.k, job.record("index").outputs["vectors"]
    short = neighbors.where(F.size("neighbors") < k).select(
        "item_id", F.size("neighbors").alias("neighbors")
    )
    reason = F.when(F.col("neighbors") == F.lit(vectors - 1), F.lit(reasons.FEW_ITEMS))
    if rules.has_rules(job.config.rules):
        possible = rules.possible_neighbors(night.lists, short.select("item_id"))
        short = short.join(possible, "item_id", how="left")
        reason = reason.when(F.col("neighbors") >= F.col("possible"), F.lit(reasons.FEW_ELIGIBLE))
    last = reasons.RULES if night.search.rules.any else reasons.FEW_IN_LISTS
    few = short.select("item_id", "neighbors", reason.otherwise(F.lit(last)).alias("reason"))
    return few.unionByName(_without_vector(night))


def _without_vector(night: SearchContext) -> "DataFrame":
    """Items that ask and have no vector."""
    from pyspark.sql import functions as F

    job = night.job
    items = job.read("embeddings", "embed").where("half is null")
    if night.asked is not None:
        items = items.join(night.asked.select("item_id"), "item_id", how="left_semi")
    if job.config.rules.query:
        items = items.join(rules.query_rule_items(job), "item_id", how="left_semi")
    without_tokens = F.when(F.col("tokens") == 0, F.lit(reasons.NO_TOKENS))
    reason = without_tokens.otherwise(F.lit(reasons.NO_VECTOR))
    return items.select("item_id", F.lit(0).alias("neighbors"), reason.alias("reason"))
