"""Samples that depend on a seed and the items' ids only, not on how Spark has partitioned them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

# The greatest hash.
MAX_HASH = 2**63 - 1
_EXACT_UP_TO = 20_000


def seeded_sample(
    frame: "DataFrame",
    total: int,
    max_rows: int,
    seed: int,
    purpose: str,
    *,
    ordered: bool = True,
) -> "DataFrame":
    """Sample the rows of a frame by a hash of their item_id.

    Args:
        frame: its item_id is unique.
        total: about how many rows it has.
        max_rows: the size of the sample; a smaller frame is returned whole. Samples of up to 20,000
            rows have exactly this size. Larger ones vary around it by chance, because cutting them
            would collect them in one task.
        seed: another seed gives another sample.
        purpose: samples for different purposes are independent of each other. Recall measured on
            the vectors that the quantiser was trained on would be too high.
        ordered: whether the rows are in the order of that hash; otherwise Spark need not sort them.
    """
    names = frame.columns
    sample = hashed_sample(frame, total, max_rows, seed, purpose)
    is_cut = max_rows < total and max_rows <= _EXACT_UP_TO
    if ordered or is_cut:
        sample = sample.orderBy("order", "item_id")
    return (sample.limit(max_rows) if is_cut else sample).select(*names)


def collected_sample(
    frame: "DataFrame", total: int, max_rows: int, seed: int, purpose: str
) -> "pa.Table":
    """The rows of `seeded_sample` on the driver; sorted there, which saves Spark a scan."""
    sample = hashed_sample(frame, total, max_rows, seed, purpose)
    table = sample.toArrow().sort_by([("order", "ascending"), ("item_id", "ascending")])
    return table.slice(0, rows_kept(table.num_rows, max_rows)).drop_columns("order")


def rows_kept(rows: int, max_rows: int) -> int:
    """How many of a sample's rows are kept, the first in its order."""
    return min(rows, max_rows) if max_rows <= _EXACT_UP_TO else rows


def hashed_sample(
    frame: "DataFrame", total: int, max_rows: int, seed: int, purpose: str
) -> "DataFrame":
    """The rows of `seeded_sample` in no order, with their hash as `order`.

    There are some more, of which the caller keeps the first `rows_kept` by `order` and item_id.
    """
    from pyspark.sql import functions as F

    hashed = frame.withColumn("order", seeded_hash(seed, purpose))
    if total <= max_rows:
        return hashed
    rows = rows_with_margin(max_rows) if max_rows <= _EXACT_UP_TO else max_rows
    return hashed.where(F.col("order") <= hash_bound(total, rows))


def seeded_hash(seed: int, purpose: str) -> "Column":
    """The hash of item_id that samples are drawn by: long, evenly distributed."""
    from pyspark.sql import functions as F

    return F.xxhash64(F.lit(purpose), F.lit(seed), "item_id")


def rows_with_margin(rows: int) -> int:
    """How many rows have to be expected below a bound, so that `rows` are there almost surely."""
    return rows * 11 // 10 + 100


def hash_bound(total: int, rows: int) -> int:
    """The hash up to which about so many rows of all are; the greatest hash if that is all."""
    return 2 * MAX_HASH * rows // total - MAX_HASH if rows < total else MAX_HASH
