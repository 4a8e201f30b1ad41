"""Two versions of the similar-item table, joined item by item.

Only neighbours are compared: what [fallback] fills lists with is left out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

# If there are more items, a sample of this size is compared: it gives a churn of one half to within
# 0.7 percentage points.
MAX_COMPARED = 20_000


@dataclass(frozen=True)
class Change:
    """How much of the top k changed from one version to the next. The fields are in run.json.

    Attributes:
        items_before: items with a neighbour in the earlier version.
        items: items with a neighbour in the later version.
        rows_before: neighbours in the earlier version, up to the k-th of each item.
        rows: neighbours in the later version, likewise.
        one_in: one in this many items was compared, chosen by a hash of the id.
        common: items compared that have a neighbour in both versions.
        entries: neighbours of the common items in the earlier version.
        replaced: how many of those the later version does not have.
    """

    items_before: int
    items: int
    rows_before: int
    rows: int
    one_in: int
    common: int
    entries: int
    replaced: int

    @property
    def churn(self) -> float:
        """The share of the common items' neighbours that were replaced, 0 to 1."""
        return self.replaced / self.entries if self.entries else 0.0


def found(pairs: "DataFrame") -> "DataFrame":
    """The neighbours among rows of similar_items: without what has filled lists, see [fallback]."""
    return pairs.where("score is not null")


def join_by_item(before: "DataFrame", after: "DataFrame", k: int) -> "DataFrame":
    """One row an item: item_id, and its top k `before` and `after`, null if it has none.

    Args:
        before: the earlier version of similar_items.
        after: the later one.
        k: greater ranks are left out.

    Returns:
        item_id string, before and after array<struct<rank, similar_id, score>>.
    """
    return _lists(before, k, "before").join(_lists(after, k, "after"), "item_id", how="full")


def _lists(pairs: "DataFrame", k: int, name: str) -> "DataFrame":
    from pyspark.sql import functions as F

    entries = F.collect_list(F.struct("rank", "similar_id", "score"))
    top = found(pairs).where(F.col("rank") <= k)
    return top.groupBy("item_id").agg(F.array_sort(entries).alias(name))


def in_both() -> "Column":
    """Whether an item of `join_by_item` has neighbours in both versions."""
    from pyspark.sql import functions as F

    return F.col("before").isNotNull() & F.col("after").isNotNull()


def shared_count() -> "Column":
    """How many neighbours both lists of an item of `join_by_item` have."""
    from pyspark.sql import functions as F

    return F.size(F.array_intersect("before.similar_id", "after.similar_id"))


def compare(
    before: "DataFrame", after: "DataFrame", k: int, max_items: int = MAX_COMPARED
) -> Change:
    """Compare two versions: how much of the top k changed.

    Args:
        before: the earlier version of similar_items.
        after: the later one.
        k: greater ranks are left out.
        max_items: how many items are compared, about.
    """
    from pyspark.sql import functions as F

    before, after = found(before), found(after)
    (items_before, rows_before), (items, rows) = _sizes(before, k), _sizes(after, k)
    one_in = max(1, -(-max(items_before, items) // max_items))
    is_sampled = F.pmod(F.xxhash64("item_id"), F.lit(one_in)) == 0

    def ids(pairs: "DataFrame", name: str) -> "DataFrame":
        top = pairs.where(is_sampled & (F.col("rank") <= k))
        return top.select("item_id", F.col("similar_id").alias(name))

    # One shuffle of both, and no join.
    both = ids(before, "before").unionByName(ids(after, "after"), allowMissingColumns=True)
    lists = (F.collect_list(name).alias(name) for name in ("before", "after"))
    entries = F.size("before")
    sums = (
        both.groupBy("item_id")
        .agg(*lists)
        .where((entries > 0) & (F.size("after") > 0))
        .agg(
            F.count("*").alias("common"),
            F.sum(entries).alias("entries"),
            F.sum(entries - F.size(F.array_intersect("before", "after"))).alias("replaced"),
        )
        .first()
    )
    assert sums is not None  # noqa: S101 - an aggregate has one row
    compared = {name: int(value or 0) for name, value in sums.asDict().items()}
    return Change(items_before, items, rows_before, rows, one_in, **compared)


def compare_samples(before: "SampleLists", after: "SampleLists", k: int) -> Change:
    """Compare two versions by the samples of lists that were written with them.

    Args:
        before: of the earlier version.
        after: of the later one.
        k: greater ranks are left out.
    """
    bound = min(before.bound, after.bound)
    earlier, later = before.lists(bound, k), after.lists(bound, k)
    common = earlier.keys() & later.keys()
    (items_before, rows_before), (items, rows) = before.sizes(k), after.sizes(k)
    sampled = max(len(earlier), len(later), 1)
    return Change(
        items_before,
        items,
        rows_before,
        rows,
        one_in=max(1, round(max(items_before, items) / sampled)),
        common=len(common),
        entries=sum(len(earlier[item]) for item in common),
        replaced=sum(len(earlier[item] - later[item]) for item in common),
    )


@dataclass(frozen=True)
class SampleLists:
    """A sample of a version's lists, and how many rows it has.

    Attributes:
        rows: of the table sample_lists.
        bound: all items with a hash up to this are among them, if they have neighbours.
        rows_by_rank: how many rows the version has of each rank, from 1 on.
    """

    rows: "pa.Table"
    bound: int
    rows_by_rank: list[int]

    def sizes(self, k: int) -> tuple[int, int]:
        """How many items the version has, and how many rows up to rank k."""
        return sum(self.rows_by_rank[:1]), sum(self.rows_by_rank[:k])

    def lists(self, bound: int, k: int) -> dict[str, set[str]]:
        """The first k neighbours of each item with a hash up to a bound."""
        import pyarrow.compute as pc

        rows = self.rows.filter(pc.less_equal(self.rows["order"], bound))
        ids, lists = rows["item_id"].to_pylist(), rows["similar_ids"].to_pylist()
        return {item: set(best[:k]) for item, best in zip(ids, lists, strict=True)}


def _sizes(pairs: "DataFrame", k: int) -> tuple[int, int]:
    """How many items and rows a version has; each item with a neighbour has one of rank 1."""
    from pyspark.sql import functions as F

    sums = pairs.agg(F.count_if(F.col("rank") == 1), F.count_if(F.col("rank") <= k)).first()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    return int(sums[0]), int(sums[1])
