"""Exposure: how crowded each item is, which lowers what it is ranked by (rank.exposure).

An item in a dense place is near to many others, and would be in many lists; one far from all others
in none. So the mean cosine of an item to its own ten nearest, a share of it, is taken from its
cosine with any other (CSLS: Conneau et al., Word translation without parallel data, 2018).

The ten nearest are those by the cosine alone, among all items of a few lists, whatever the rules
and other boosts: they are defined by the vectors and lists, and not by the table that they rank.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.stages.context import Job
from pipeline.stages.neighbors.search import ITEM_COLUMNS, ListSearch, ProbedLists
from pipeline.store.schemas import CROWDING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TABLE = "crowding"
NEAREST = 10
# Lists that are searched for them, if there is a quantiser: the neighbours in others are few.
PROBES = 4
# Crowding is rounded to so many parts of 1: one arrival hardly ever changes it, so from one night
# to the next few items have to be ranked anew.
STEPS = 50


def write(job: Job, version: str, search: ListSearch, probed: ProbedLists) -> "DataFrame":
    """Write how crowded each item with a vector is.

    Args:
        job: the run.
        version: of the table.
        search: for the NEAREST nearest of all items, without rules.
        probed: the lists that are searched for an item.

    Returns:
        item_id, crowding.
    """
    job.line.note = "how crowded items are"
    queries = search.scan(job.spark, ITEM_COLUMNS)
    rows = search.merge(search.find_candidates(queries, probed), probed).map(_crowding_rows)
    job.store.write_arrow(TABLE, version, rows)
    job.line.note = ""
    return job.store.read(job.spark, TABLE, version)


def _crowding_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of CROWDING from rows of NEIGHBORS."""
    for batch in batches:
        row_of, neighbors = flatten_lists(batch["neighbors"])
        scores = neighbors.field("score").to_numpy().astype(np.float64)
        counts = np.bincount(row_of, minlength=batch.num_rows)
        means = np.bincount(row_of, scores, batch.num_rows) / np.maximum(counts, 1)
        crowding = np.round(np.maximum(means, 0) * STEPS) / STEPS
        columns = [batch["item_id"], pa.array(crowding, pa.float64())]
        yield pa.RecordBatch.from_arrays(columns, schema=CROWDING)
