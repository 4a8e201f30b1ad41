"""The details table: what is shown of an item, and its list, so that one item is read quickly."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.stages.context import Job
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import DETAILS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Rows that are read to get one item: half a megabyte.
_ROWS_PER_GROUP = 4_000


def write(job: Job, version: str) -> int:
    """Write the details table: one row an item, sorted by item_id, in small row groups.

    Returns:
        the number of rows.
    """
    return job.store.write_arrow("details", version, Rows(_sorted_details(job), _small_batches))


def _sorted_details(job: Job) -> "DataFrame":
    items = job.read("items", "ingest")
    lists = job.read("lists", "index").select("item_id", "list")
    joined = items.join(lists, "item_id", how="left")
    return joined.select(*DETAILS.names).orderBy("item_id")


def _small_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut the batches; each batch becomes a row group."""
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_PER_GROUP):
            yield batch.slice(start, _ROWS_PER_GROUP)
