"""The sample of vectors that a quantiser is trained on, on the driver."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval.list_training import Sample
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import float16_rows
from pipeline.spark import sampling
from pipeline.store.arrow_files import Rows
from pipeline.store.store import Store

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame

_TABLE = "training_vectors"
_KEYS = ["order", "item_id"]


def draw(
    store: Store, version: str, vectors: "DataFrame", total: int, max_rows: int, seed: int
) -> Sample:
    """A sample of vectors, chosen and ordered by a hash of the id.

    The executors write it to files, and the driver's Python process reads those. So it need not fit
    into the driver's JVM, through which Spark would collect it. The setting index.sample_items
    bounds its size, whatever the catalogue's.

    Args:
        store: the files are in it as long as they are read.
        version: of the index that the quantiser is trained for.
        vectors: item_id string, vector binary (float16).
        total: about how many they are.
        max_rows: the size of the sample, as for `sampling.seeded_sample`.
        seed: another seed gives another sample.

    Returns:
        float16[rows, dim].
    """
    sample = sampling.hashed_sample(vectors, total, max_rows, seed, "quantiser")
    trial = store.trial_version(version)
    try:
        store.write_arrow(_TABLE, trial, Rows(sample, lambda batches: batches))
        return _read(store.dataset(_TABLE, trial), max_rows)
    finally:
        store.discard_version(_TABLE, trial)


def _read(files: "ds.Dataset", max_rows: int) -> Sample:
    """The vectors in their order, no more than `sampling` cuts them to."""
    ascending = [(name, "ascending") for name in _KEYS]
    keys = files.to_table(columns=_KEYS).sort_by(ascending)
    count = sampling.rows_kept(keys.num_rows, max_rows)
    vectors = np.empty((count, 0), dtype=np.float16)
    for batch in files.to_batches(columns=[*_KEYS, "vector"]):
        if batch.num_rows:
            rows = float16_rows(batch["vector"])
            vectors = vectors if vectors.size else np.empty((count, rows.shape[1]), np.float16)
            places = _places(keys, batch)
            is_kept = places < count
            vectors[places[is_kept]] = rows[is_kept]
    return vectors


def _places(keys: pa.Table, batch: pa.RecordBatch) -> Int64:
    """The place of each row of a batch in the order of the keys: int64[n]."""
    hashes, ids = keys["order"].to_numpy(), keys["item_id"]
    places: Int64 = np.searchsorted(hashes, batch["order"].to_numpy()).astype(np.int64)
    ends = np.searchsorted(hashes, batch["order"].to_numpy(), side="right")
    # Two ids with one hash are next to each other.
    for row in np.flatnonzero(ends - places > 1):
        while ids[int(places[row])] != batch["item_id"][int(row)]:
            places[row] += 1
    return places
