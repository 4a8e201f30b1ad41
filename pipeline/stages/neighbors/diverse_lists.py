"""Diverse lists (rank.diversity): chosen from the candidates of each item, group by group.

A task has the rows of some lists. Most of their candidates are in the same lists, whose vectors the
task reads itself; the vectors of the others are sent to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.diversity import Diversity, diversify
from pipeline.retrieval.groups import GroupPlan, max_items_per_group, plan_by_rows
from pipeline.retrieval.loaded_group import groups_by_id
from pipeline.stages.index.lists import shuffle_by_group
from pipeline.stages.neighbors import boosts
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable
from pipeline.store.scan import rows_of_tasks

TABLE = "diverse"
# A vector that another group's lists need, and which group.
_WANTED = pa.schema([("item_id", pa.string()), ("group", pa.int32())])
_SENT = pa.schema([("item_id", pa.string()), ("vector", pa.binary())])
_NEIGHBORS = ("item_id", "list", "neighbors")
# A group has so many times fewer items than one of the search: it also has others' vectors.
_SMALLER = 4


def write(context: SearchContext, version: str) -> int:
    """Write the diverse lists of the neighbors table; return the number of rows.

    Args:
        context: what the search works with.
        version: of the neighbors table, and of the table of the diverse lists.
    """
    job, store = context.job, context.job.store
    job.line.note = "choosing diverse lists"
    index, section = job.record("index"), job.config.neighbors
    sizes = job.list_sizes(index.fingerprint, context.nlist)
    most = max(1, max_items_per_group(section.worker_mb, index.outputs["dim"]) // _SMALLER)
    cores = job.spark.sparkContext.defaultParallelism
    groups = max(-(-int(sizes.sum()) // most), min(cores, int(sizes.sum())), 1)
    chooser = _Chooser(
        store.open_clustered("lists", index.fingerprint),
        store.open_clustered("neighbors", version),
        plan_by_rows(np.maximum(sizes, 1), groups),
        boosts.diversity(job.config.rank, section.k),
    )
    wanted = rows_of_tasks(job.spark, chooser.plan.group_count, chooser.wanted)
    ids = wanted.frame.mapInArrow(wanted.run, schemas.ddl(_WANTED))
    vectors = job.read("lists", "index").select("item_id", "vector").join(ids, "item_id", "inner")
    sent = vectors.mapInArrow(_send, schemas.ddl(packed_batches.SCHEMA))
    count = chooser.plan.group_count
    rows = Rows(shuffle_by_group(sent, count, count), chooser.receive)
    written = store.write_arrow(TABLE, version, rows)
    job.line.note = ""
    return written


def _send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in packed_batches.coalesce(batches):
        rows = batch.select(_SENT.names).cast(_SENT)
        keys = batch["group"].to_numpy().astype(np.int64)
        take = packed_batches.take_from(rows)
        yield from packed_batches.pack(take, keys, rows.nbytes // rows.num_rows)


@dataclass(frozen=True)
class _Chooser:
    """What each task does.

    Attributes:
        items: the files of the lists table.
        neighbors: the files of the neighbors table.
        plan: the groups.
        settings: how lists are chosen.
    """

    items: ClusteredTable
    neighbors: ClusteredTable
    plan: GroupPlan
    settings: Diversity

    def _rows(self, group: int) -> Iterator[pa.RecordBatch]:
        """A group's rows of the neighbors table."""
        for batch in self.neighbors.rows(*self.plan.list_range(group), _NEIGHBORS):
            rows = batch.select(list(_NEIGHBORS))
            yield rows.filter(pa.array(groups_by_id(rows, self.plan) == group))

    def _candidates(self, rows: pa.RecordBatch) -> pa.Array:
        """The ids of the candidates that the lists of some rows are chosen from."""
        candidates = pc.list_slice(rows["neighbors"], 0, self.settings.depth).flatten()
        return pc.unique(candidates.field("similar_id"))

    def wanted(self, group: int) -> Iterator[pa.RecordBatch]:
        """The candidates that are in none of the group's lists."""
        own = [
            batch["item_id"]
            for batch in self.items.rows(*self.plan.list_range(group), ("item_id",))
        ]
        seen = pa.concat_arrays([pa.array([], pa.string()), *own])
        for rows in self._rows(group):
            ids = self._candidates(rows)
            ids = ids.filter(pc.invert(pc.is_in(ids, seen)))
            seen = pa.concat_arrays([seen, ids])
            groups = pa.array(np.full(len(ids), group, dtype=np.int32))
            yield pa.RecordBatch.from_arrays([ids, groups], schema=_WANTED)

    def receive(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The diverse lists of each group; an empty cell announces every group."""
        for group, sent in packed_batches.iter_keys(batches, _SENT):
            parts = [rows for rows in self._rows(group) if rows.num_rows]
            ids = [pa.array([], pa.string()), *map(self._candidates, parts)]
            wanted = pc.unique(pa.concat_arrays(ids))
            own = (
                batch.filter(pc.is_in(batch["item_id"], wanted)).select(_SENT.names).cast(_SENT)
                for batch in self.items.rows(*self.plan.list_range(group), _SENT.names)
            )
            items = packed_batches.concat([*sent, *own], _SENT)
            for rows in parts:
                yield diversify(rows, items["item_id"], items["vector"], self.settings)
