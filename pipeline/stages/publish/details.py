"""The details table: what is shown of an item, and the list it is in, to be had by its id."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.stages.context import Job
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import DETAILS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Rows that are read for one item: half a megabyte.
_ROWS_TOGETHER = 4_000


def write(job: Job, version: str) -> int:
    """Write the details table: one row an item, sorted by item_id, in small row groups.

    Returns:
        the number of rows.
    """
    return job.store.write_arrow("details", version, Rows(_sorted(job), _in_small_groups))


def _sorted(job: Job) -> "DataFrame":
    items = job.read("items", "ingest")
    lists = job.read("lists", "index").select("item_id", "list")
    return items.join(lists, "item_id", how="left").select(*DETAILS.names).orderBy("item_id")


def _in_small_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_TOGETHER):
            yield batch.slice(start, _ROWS_TOGETHER)
