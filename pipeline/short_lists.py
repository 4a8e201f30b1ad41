"""Which items have fewer neighbours than were asked for, and why."""

from typing import TYPE_CHECKING

from pipeline.job import Job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Why an item has fewer neighbours than were asked for.
NO_TOKENS = "no_tokens"
NO_VECTOR = "no_vector"
FEW_ITEMS = "few_items"
FEW_IN_LISTS = "few_in_lists"


def of(
    job: Job, lists: "DataFrame", asked: "DataFrame | None", neighbors: "DataFrame", rows: int
) -> "DataFrame":
    """Every item with fewer than k neighbours, how many it has, and why.

    Args:
        job: what the night works with; its stage index is done.
        lists: the items with a vector.
        asked: item_id of the items that want neighbours; None for all.
        neighbors: what was found.
        rows: its rows.
    """
    from pyspark.sql import functions as F

    k = job.config.neighbors.k
    vectors = job.record("index").outputs["vectors"]
    had = F.least(F.size("neighbors"), F.lit(k))
    reason = F.when(had == F.lit(vectors - 1), F.lit(FEW_ITEMS)).otherwise(F.lit(FEW_IN_LISTS))
    few = neighbors.where(had < k).select("item_id", had.alias("neighbors"), reason.alias("reason"))
    items = job.read("embeddings", "embed").select("item_id", "tokens")
    if asked is None and job.record("embed").tables["embeddings"] == rows:
        return few
    if asked is not None:
        items = items.join(asked.select("item_id"), "item_id", how="left_semi")
    none = items.join(neighbors.select("item_id"), "item_id", how="left_anti")
    with_vector = lists.select("item_id").join(none, "item_id", how="left_semi")
    flagged = none.join(
        with_vector.select("item_id", F.lit(True).alias("with")), "item_id", how="left"
    )
    reason = (
        F.when(F.col("tokens") == 0, F.lit(NO_TOKENS))
        .when(F.col("with").isNull(), F.lit(NO_VECTOR))
        .when(F.lit(vectors == 1), F.lit(FEW_ITEMS))
        .otherwise(F.lit(FEW_IN_LISTS))
    )
    return few.unionByName(
        flagged.select("item_id", F.lit(0).alias("neighbors"), reason.alias("reason"))
    )
