"""What changed between two versions of the similar-item table."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.stages.publish import comparison
from pipeline.store.resolve import ResolvedVersion
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MOST_CHANGED = 20


def diff(
    spark: "SparkSession", store: Store, one: ResolvedVersion, two: ResolvedVersion, k: int
) -> dict[str, Any]:
    """Compare two versions; only sums and the items that changed most are collected.

    The overlap of two lists is the share of the longer one that both have. The score shift is the
    later list's mean score less the earlier one's. Means are over the items in both.

    Args:
        spark: the session.
        store: that both are in.
        one: the earlier version, as the command line has it.
        two: the later one.
        k: ranks beyond it are passed over.

    Returns:
        what the command prints as JSON.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    before, after = (store.read(spark, "similar_items", s.version) for s in (one, two))
    items = measured(comparison.join_by_item(before, after, k)).persist(StorageLevel.DISK_ONLY)
    try:
        sums = items.agg(
            F.count_if("was").alias("items_before"),
            F.count_if("is").alias("items_after"),
            F.count_if(~F.col("was")).alias("added"),
            F.count_if(~F.col("is")).alias("gone"),
            F.count_if(F.col("was") & F.col("is")).alias("common"),
            F.count_if("changed").alias("changed"),
            F.round(F.avg("overlap"), 4).alias("mean_overlap"),
            F.round(F.avg("shift"), 6).alias("score_shift"),
        ).first()
        worst = items.where("changed").orderBy("overlap", F.abs("shift").desc(), "item_id")
        rows = [row.asDict() for row in worst.limit(MOST_CHANGED).collect()]
    finally:
        items.unpersist()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    return {
        "before": one.shown(),
        "after": two.shown(),
        "k": k,
        **sums.asDict(),
        "settings": _settings(one, two),
        "most_changed": _with_lists(spark, store, (one, two), rows, k),
    }


def measured(items: "DataFrame", *kept: str) -> "DataFrame":
    """How much each item's list changed.

    Args:
        items: one row an item, as compare.by_item has it.
        kept: columns of it to keep beside item_id: before, after.

    Returns:
        item_id string; was, is and changed boolean; overlap double, 0 to 1, and shift double, the
        later list's mean score less the earlier one's, null where an item has one list only.
    """
    from pyspark.sql import functions as F

    both = comparison.in_both()
    longer = F.greatest(F.size("before"), F.size("after"))
    means = [
        F.aggregate(f"{name}.score", F.lit(0.0), lambda a, b: a + b) / F.size(name)
        for name in ("before", "after")
    ]
    return items.select(
        "item_id",
        F.col("before").isNotNull().alias("was"),
        F.col("after").isNotNull().alias("is"),
        (both & (F.col("before.similar_id") != F.col("after.similar_id"))).alias("changed"),
        F.when(both, comparison.shared_count() / longer).alias("overlap"),
        F.when(both, means[1] - means[0]).alias("shift"),
        *kept,
    )


def _settings(one: ResolvedVersion, two: ResolvedVersion) -> list[dict[str, Any]]:
    """Settings that differ; a setting that one of them does not know is null."""
    return [
        {"setting": name, "before": one.settings.get(name), "after": two.settings.get(name)}
        for name in sorted({*one.settings, *two.settings})
        if one.settings.get(name) != two.settings.get(name)
    ]


def _with_lists(
    spark: "SparkSession",
    store: Store,
    sides: Sequence[ResolvedVersion],
    rows: list[dict[str, Any]],
    k: int,
) -> list[dict[str, Any]]:
    """The items with their titles and both lists."""
    from pyspark.sql import functions as F

    chosen = [row["item_id"] for row in rows]
    lists: dict[str, dict[str, list[dict[str, Any]]]] = {item: {} for item in chosen}
    for name, one in zip(("before", "after"), sides, strict=True):
        pairs = store.read(spark, "similar_items", one.version)
        wanted = pairs.where(F.col("item_id").isin(chosen) & (F.col("rank") <= k))
        # Twenty lists of at most k.
        for row in sorted(wanted.collect(), key=lambda row: row["rank"]):
            about = {"similar_id": row["similar_id"], "score": round(row["score"], 4)}
            lists[row["item_id"]].setdefault(name, []).append(about)
    titles = _titles(spark, store, sides, {*chosen, *_neighbors(lists.values())})
    for about in (a for both in lists.values() for side_ in both.values() for a in side_):
        about["title"] = titles.get(about["similar_id"])
    return [
        {
            "item_id": row["item_id"],
            "title": titles.get(row["item_id"]),
            "overlap": round(row["overlap"], 4),
            "score_shift": round(row["shift"], 6),
            **lists[row["item_id"]],
        }
        for row in rows
    ]


def _neighbors(lists: Iterable[dict[str, list[dict[str, Any]]]]) -> Iterable[str]:
    return (about["similar_id"] for both in lists for one in both.values() for about in one)


def _titles(
    spark: "SparkSession", store: Store, sides: Sequence[ResolvedVersion], ids: set[str]
) -> dict[str, str]:
    """Titles of items, the later ones where they differ."""
    from pyspark.sql import functions as F

    titles: dict[str, str] = {}
    for one in sides:
        version = one.stages.get("ingest")
        if version is None or not store.has("items", version):
            continue
        items = store.read(spark, "items", version).where(F.col("item_id").isin(list(ids)))
        titles |= {row[0]: row[1] for row in items.select("item_id", "title").collect()}
    return titles
