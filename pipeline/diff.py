"""What changed between two versions of the similar-item table."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import compare, runs
from pipeline.errors import UsageError
from pipeline.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MOST_CHANGED = 20
LATEST = "LATEST"
_NAMED = 5


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        version: of the similar-item table.
        run: the run that made it; None where its run.json is gone.
        settings: that run's, by section.key.
    """

    version: str
    run: runs.Run | None
    settings: dict[str, Any]

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {"version": self.version, "run_id": self.run.run_id if self.run else None}


def side(store: Store, name: str) -> Side:
    """What a name on the command line stands for: a run, a version, or LATEST.

    Raises:
        UsageError: nothing in the store has this name, or its table is not there.
    """
    run = None if name == LATEST else runs.find(store, name)
    version = name
    if name == LATEST:
        latest = store.latest()
        if latest is None:
            raise UsageError(f"nothing is published in {store.root}; name a run or a version")
        version = latest["version"]
    elif run is not None:
        if "publish" not in run.fingerprints:
            raise UsageError(f"run {name} did not come to a similar-item table; {_known(store)}")
        version = run.fingerprints["publish"]
    elif "/" in name:
        raise UsageError(f"{name} is no run or version; {_known(store)}")
    if not store.has("similar_items", version):
        if run is not None:
            raise UsageError(f"the table of run {name} has been deleted; {_known(store)}")
        raise UsageError(f"{name} is no run or version in {store.root}; {_known(store)}")
    if run is None:
        run = _maker(store, version)
    return Side(version, run, _flat(run.settings) if run else {})


def _maker(store: Store, version: str) -> runs.Run | None:
    """The run that made a version; of a version without a record the first that came to it."""
    record = store.find("publish", version)
    if record is not None:
        return runs.find(store, record.run_id)
    had = [run for run in runs.listed(store) if run.fingerprints.get("publish") == version]
    return had[-1] if had else None


def _known(store: Store) -> str:
    names = [run.run_id for run in runs.listed(store) if "publish" in run.fingerprints]
    return f"the last runs are {', '.join(names[:_NAMED])}" if names else "no run made a table yet"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, values in settings.items()
        for name, value in values.items()
    }


def diff(spark: "SparkSession", store: Store, one: Side, two: Side, k: int) -> dict[str, Any]:
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
    items = measured(compare.by_item(before, after, k)).persist(StorageLevel.DISK_ONLY)
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

    both = compare.common()
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
        F.when(both, compare.shared() / longer).alias("overlap"),
        F.when(both, means[1] - means[0]).alias("shift"),
        *kept,
    )


def _settings(one: Side, two: Side) -> list[dict[str, Any]]:
    """Settings that differ; a setting that one of them does not know is null."""
    return [
        {"setting": name, "before": one.settings.get(name), "after": two.settings.get(name)}
        for name in sorted({*one.settings, *two.settings})
        if one.settings.get(name) != two.settings.get(name)
    ]


def _with_lists(
    spark: "SparkSession",
    store: Store,
    sides: tuple[Side, Side],
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
    spark: "SparkSession", store: Store, sides: tuple[Side, Side], wanted: set[str]
) -> dict[str, str]:
    """Titles of items, the later ones where they differ."""
    from pyspark.sql import functions as F

    titles: dict[str, str] = {}
    for one in sides:
        version = one.run.fingerprints.get("ingest") if one.run else None
        if version is None or not store.has("items", version):
            continue
        items = store.read(spark, "items", version).where(F.col("item_id").isin(list(wanted)))
        titles |= {row[0]: row[1] for row in items.select("item_id", "title").collect()}
    return titles
