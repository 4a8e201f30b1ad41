"""The lists of a sample of the items: the next version's gate compares its own with them."""

import numpy as np
import pyarrow as pa

from pipeline.stages.context import Job
from pipeline.stages.publish.comparison import SampleLists
from pipeline.stages.publish.sampled_rows import SampledRows
from pipeline.store.schemas import SAMPLE_LISTS

TABLE = "sample_lists"
# Where the stage's record has the other attributes of SampleLists: in its outputs.
BOUND, ROWS_BY_RANK = "measured_up_to", "rows_by_rank"


def write(job: Job, version: str, sampled: SampledRows) -> int:
    """Write the table; return the number of rows.

    Args:
        job: the run.
        version: of the table.
        sampled: with the pairs of the items that are measured.
    """
    pairs = sampled.pairs.filter(sampled.pairs["is_measured"])
    pairs = pairs.sort_by([(name, "ascending") for name in ("order", "item_id", "rank")])
    is_first = np.asarray(pairs["rank"]) == 1
    starts = np.append(np.flatnonzero(is_first), pairs.num_rows)
    first, ids = pairs.filter(pa.array(is_first)), pairs["similar_id"].combine_chunks()
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), ids.cast(pa.string()))
    columns = [first["item_id"], first["order"], lists.cast(SAMPLE_LISTS.field(2).type)]
    return job.store.write_table(pa.table(columns, schema=SAMPLE_LISTS), TABLE, version)


def find(job: Job, version: str) -> SampleLists | None:
    """Those of a version; None if they are gone or damaged, or were never written."""
    record, store = job.store.find_record("publish", version), job.store
    if record is None or TABLE not in record.tables or not store.has_table(TABLE, version):
        return None
    if damage := store.find_table_damage(TABLE, version):
        store.say(f"{damage}. All lists are compared, not a sample of them")
        return None
    rows = store.dataset(TABLE, version).to_table()
    return SampleLists(rows, record.outputs[BOUND], record.outputs[ROWS_BY_RANK])
