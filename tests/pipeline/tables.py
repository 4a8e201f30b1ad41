"""Tables of a few rows, written as the stages write them."""

from pyspark.sql import SparkSession

from pipeline.store.schemas import ITEMS, SHORT_LISTS, SIMILAR_ITEMS, ddl
from pipeline.store.store import Store

Lists = dict[str, list[tuple[str, float]]]


def write_lists(spark: SparkSession, store: Store, version: str, lists: Lists) -> int:
    """A similar-item table with these lists."""
    rows = [
        (item, rank, other, score)
        for item, best in lists.items()
        for rank, (other, score) in enumerate(best, 1)
    ]
    frame = spark.createDataFrame(rows, ddl(SIMILAR_ITEMS))
    return store.write(frame.orderBy("item_id", "rank"), "similar_items", version)


def write_items(spark: SparkSession, store: Store, version: str, titles: dict[str, str]) -> None:
    """An items table with these titles."""
    rows = [(item, title, *[None] * (len(ITEMS) - 2)) for item, title in titles.items()]
    store.write(spark.createDataFrame(rows, ddl(ITEMS)), "items", version)


def write_short(spark: SparkSession, store: Store, version: str, neighbors: dict[str, int]) -> None:
    """A table of short lists: how many neighbours each of these items has."""
    rows = [(item, count, "few_in_lists") for item, count in neighbors.items()]
    store.write(spark.createDataFrame(rows, ddl(SHORT_LISTS)), "short_lists", version)
