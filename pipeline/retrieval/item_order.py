"""Tables in the order of item_id: each file has a range of ids, and its rows are sorted.

Python workers cut the rows into ranges of ids, and sort each range. Ids are compared by their bytes
in UTF-8, as Spark and Arrow compare them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.ranking import Int64

_ID = "item_id"


@dataclass(frozen=True)
class ItemRanges:
    """Ranges of ids.

    Attributes:
        bounds: the first id of each range but the first, in UTF-8, ascending.
    """

    bounds: tuple[bytes, ...]

    @classmethod
    def from_sample(cls, ids: list[str], count: int) -> "ItemRanges":
        """Ranges with about equally many items, `count` of them or fewer.

        Args:
            ids: a random sample of the ids.
            count: how many ranges there should be.
        """
        ordered = sorted(item.encode() for item in ids)
        bounds = {ordered[len(ordered) * n // count] for n in range(1, count)} if ordered else set()
        return cls(tuple(sorted(bounds)))

    @property
    def count(self) -> int:
        """How many ranges there are."""
        return len(self.bounds) + 1

    def numbers(self, ids: pa.Array) -> Int64:
        """The range that each id is in: int64[n]."""
        if not self.bounds:
            return np.zeros(len(ids), dtype=np.int64)
        values = ids.cast(pa.binary()).to_numpy(zero_copy_only=False)
        numbers: Int64 = np.searchsorted(
            np.array(self.bounds, dtype=object), values, side="right"
        ).astype(np.int64)
        return numbers


def send(batches: Iterator[pa.RecordBatch], ranges: ItemRanges) -> Iterator[pa.RecordBatch]:
    """Pack rows for the file that they belong to.

    Args:
        batches: rows with a column item_id.
        ranges: the range of each file, whose number is the key.

    Yields:
        packed batches.
    """
    for rows in packed_batches.coalesce(batches):
        row_bytes = rows.nbytes // rows.num_rows
        take = packed_batches.take_from(rows)
        yield from packed_batches.pack(take, ranges.numbers(rows[_ID]), row_bytes)


def receive(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of each file, sorted by item_id.

    Args:
        batches: packed batches of `send`, sorted by key.
        schema: of the rows.
    """
    for _, cells in packed_batches.iter_keys(batches, schema):
        rows = packed_batches.concat(cells, schema)
        yield rows.take(pc.sort_indices(rows[_ID]))
