"""What changed between two versions of the similar-item table; what fills lists is left out."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.stages.publish import comparison
from pipeline.store.resolve import ResolvedVersion
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# How many of the items that changed most are listed.
MOST_CHANGED = 20

# By item, by "before" and "after", the neighbours: similar_id, score, title.
Lists = dict[str, dict[str, list[dict[str, Any]]]]


def diff(
    spark: "SparkSession", store: Store, one: ResolvedVersion, two: ResolvedVersion, k: int
) -> dict[str, Any]:
    """Compare two versions; only sums and the items that changed most are collected.

    The overlap of two lists is the share of the longer one that both have. The score shift is the
    later list's mean score less the earlier one's. Means are over the items in both versions.

    Args:
        spark: the session.
        store: the store that holds both versions.
        one: the earlier version, as the command line has it.
        two: the later version.
        k: ranks beyond it are ignored.

    Returns:
        what the command prints as JSON.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    before, after = (store.read(spark, "similar_items", side.version) for side in (one, two))
    items = list_changes(comparison.join_by_item(before, after, k)).persist(StorageLevel.DISK_ONLY)
    try:
        totals = _totals(items)
        changed = items.where("changed").orderBy("overlap", F.abs("shift").desc(), "item_id")
        most_changed = [row.asDict() for row in changed.limit(MOST_CHANGED).collect()]
    finally:
        items.unpersist()
    return {
        "before": one.shown(),
        "after": two.shown(),
        "k": k,
        **totals,
        "settings": _changed_settings(one, two),
        "most_changed": _with_lists(spark, store, (one, two), most_changed, k),
    }


def _totals(items: "DataFrame") -> dict[str, Any]:
    """Counts and means over all items."""
    from pyspark.sql import functions as F

    row = items.agg(
        F.count_if("was").alias("items_before"),
        F.count_if("is").alias("items_after"),
        F.count_if(~F.col("was")).alias("added"),
        F.count_if(~F.col("is")).alias("gone"),
        F.count_if(F.col("was") & F.col("is")).alias("common"),
        F.count_if("changed").alias("changed"),
        F.round(F.avg("overlap"), 4).alias("mean_overlap"),
        F.round(F.avg("shift"), 6).alias("score_shift"),
    ).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    totals: dict[str, Any] = row.asDict()
    return totals


def list_changes(items: "DataFrame", *columns: str) -> "DataFrame":
    """How much each item's list changed.

    Args:
        items: one row an item, as comparison.join_by_item returns them.
        columns: columns of it to keep beside item_id: before, after.

    Returns:
        item_id string; was, is and changed boolean; overlap double, 0 to 1, and shift double, the
        later list's mean score less the earlier one's, null for an item in one version only.
    """
    from pyspark.sql import functions as F

    in_both = comparison.in_both()
    longer = F.greatest(F.size("before"), F.size("after"))
    before_mean, after_mean = (
        F.aggregate(f"{name}.score", F.lit(0.0), lambda a, b: a + b) / F.size(name)
        for name in ("before", "after")
    )
    return items.select(
        "item_id",
        F.col("before").isNotNull().alias("was"),
        F.col("after").isNotNull().alias("is"),
        (in_both & (F.col("before.similar_id") != F.col("after.similar_id"))).alias("changed"),
        F.when(in_both, comparison.shared_count() / longer).alias("overlap"),
        F.when(in_both, after_mean - before_mean).alias("shift"),
        *columns,
    )


def _changed_settings(one: ResolvedVersion, two: ResolvedVersion) -> list[dict[str, Any]]:
    """Settings that differ; a setting that one of the versions does not know is null."""
    return [
        {"setting": name, "before": one.settings.get(name), "after": two.settings.get(name)}
        for name in sorted({*one.settings, *two.settings})
        if one.settings.get(name) != two.settings.get(name)
    ]


def _with_lists(
    spark: "SparkSession",
    store: Store,
    sides: Sequence[ResolvedVersion],
    changes: list[dict[str, Any]],
    k: int,
) -> list[dict[str, Any]]:
    """The changed items with their titles and both lists."""
    ids = [row["item_id"] for row in changes]
    lists = _lists(spark, store, sides, ids, k)
    titles = _titles(spark, store, sides, {*ids, *_neighbour_ids(lists)})
    for neighbours in (side for both in lists.values() for side in both.values()):
        for neighbour in neighbours:
            neighbour["title"] = titles.get(neighbour["similar_id"])
    return [
        {
            "item_id": row["item_id"],
            "title": titles.get(row["item_id"]),
            "overlap": round(row["overlap"], 4),
            "score_shift": round(row["shift"], 6),
            **lists[row["item_id"]],
        }
        for row in changes
    ]


def _lists(
    spark: "SparkSession", store: Store, sides: Sequence[ResolvedVersion], ids: list[str], k: int
) -> Lists:
    from pyspark.sql import functions as F

    lists: Lists = {item_id: {} for item_id in ids}
    for name, side in zip(("before", "after"), sides, strict=True):
        pairs = comparison.found(store.read(spark, "similar_items", side.version))
        # At most MOST_CHANGED lists of at most k rows are collected.
        rows = pairs.where(F.col("item_id").isin(ids) & (F.col("rank") <= k)).collect()
        for row in sorted(rows, key=lambda row: row["rank"]):
            neighbour = {"similar_id": row["similar_id"], "score": round(row["score"], 4)}
            lists[row["item_id"]].setdefault(name, []).append(neighbour)
    return lists


def _neighbour_ids(lists: Lists) -> Iterable[str]:
    return (
        neighbour["similar_id"]
        for both in lists.values()
        for neighbours in both.values()
        for neighbour in neighbours
    )


def _titles(
    spark: "SparkSession", store: Store, sides: Sequence[ResolvedVersion], ids: set[str]
) -> dict[str, str]:
    """Titles of items; if a title changed, the later one."""
    from pyspark.sql import functions as F

    titles: dict[str, str] = {}
    for side in sides:
        version = side.stages.get("ingest")
        if version is None or not store.has_table("items", version):
            continue
        items = store.read(spark, "items", version).where(F.col("item_id").isin(list(ids)))
        titles |= {row[0]: row[1] for row in items.select("item_id", "title").collect()}
    return titles
