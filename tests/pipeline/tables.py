"""Tables of a few rows, written as the stages write them."""

from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from pipeline.store.schemas import ITEMS, SHORT_LISTS, SIMILAR_ITEMS, ddl
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

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


def read_rows(store: Store, table: str, version: str) -> list[dict[str, Any]]:
    """The rows of a version, layer by layer, read without the code under test."""
    files = store.open_files(table, version)
    rows: list[dict[str, Any]] = []
    for layer in files.layers:
        new, removals = (
            [
                row
                for name in names
                for row in pq.ParquetFile(on_disk(files.folder.parent / name)).read().to_pylist()
            ]
            for names in (layer.rows, layer.removals)
        )
        removed = {row["item_id"] for row in removals}
        rows = [row for row in rows if row["item_id"] not in removed] + new
    return rows
