"""Samples that are seeded, capped, and the same whatever the partitions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_HASHES = 2**63 - 1
_EXACT_UP_TO = 20_000


def seeded_sample(
    frame: "DataFrame", total: int, most: int, seed: int, purpose: str
) -> "DataFrame":
    """Some rows of a frame with a column item_id, in the order of a hash of it.

    Args:
        frame: its item_id is unique.
        total: about how many rows it has.
        most: how many rows are wanted; where there are fewer, all come. Up to 20,000 are given
            exactly; larger samples vary by chance around it, since cutting them to size would
            bring them together in one task.
        seed: another seed gives another sample.
        purpose: samples for different purposes have nothing to do with each other. Recall that is
            measured on the vectors that the quantiser was trained on is too high.
    """
    names = frame.columns
    hashed = _hashed(frame, total, most, seed, purpose)
    ordered = hashed.orderBy("order", "item_id")
    if most < total and most <= _EXACT_UP_TO:
        ordered = ordered.limit(most)
    return ordered.select(*names)


def collected_sample(
    frame: "DataFrame", total: int, most: int, seed: int, purpose: str
) -> "pa.Table":
    """The same rows in the same order, on the driver; sorted there, which spares Spark a scan."""
    hashed = _hashed(frame, total, most, seed, purpose)
    table = hashed.toArrow().sort_by([("order", "ascending"), ("item_id", "ascending")])
    if most < total and most <= _EXACT_UP_TO:
        table = table.slice(0, most)
    return table.drop_columns("order")


def _hashed(frame: "DataFrame", total: int, most: int, seed: int, purpose: str) -> "DataFrame":
    """About as many rows as are wanted, a few more where they will be cut, with their `order`."""
    from pyspark.sql import functions as F

    hashed = frame.withColumn("order", F.xxhash64(F.lit(purpose), F.lit(seed), "item_id"))
    if total <= most:
        return hashed
    wanted = min(total, most * 11 // 10 + 100) if most <= _EXACT_UP_TO else most
    return hashed.where(F.col("order") <= 2 * _HASHES * wanted // total - _HASHES)
