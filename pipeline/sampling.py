"""Samples that are seeded, capped, and the same whatever the partitions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_HASHES = 2**63 - 1
_EXACT_UP_TO = 20_000


def seeded_sample(frame: "DataFrame", total: int, most: int, seed: int) -> "DataFrame":
    """Some rows of a frame with a column item_id, in the order of a hash of it.

    Args:
        frame: its item_id is unique.
        total: about how many rows it has.
        most: how many rows are wanted; where there are fewer, all come. Up to 20,000 are given
            exactly; larger samples vary by chance around it, since cutting them to size would
            bring them together in one task.
        seed: another seed gives another sample.
    """
    from pyspark.sql import functions as F

    names = frame.columns
    hashed = frame.withColumn("order", F.xxhash64(F.lit(seed), "item_id"))
    if total > most:
        # A little more than is wanted, where it is sorted and cut.
        wanted = min(total, most * 11 // 10 + 100) if most <= _EXACT_UP_TO else most
        hashed = hashed.where(F.col("order") <= 2 * _HASHES * wanted // total - _HASHES)
    ordered = hashed.orderBy("order", "item_id")
    if most < total and most <= _EXACT_UP_TO:
        ordered = ordered.limit(most)
    return ordered.select(*names)
