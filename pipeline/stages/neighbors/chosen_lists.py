"""Lists that are chosen from more candidates (rank.rerank, rank.diversity), group by group.

A task has the rows of some lists. Most of their candidates are in the same lists, whose vectors a
task that makes diverse lists reads itself; the vectors of the others are sent to it. To rank again
needs texts too, which are in no list: the vectors and texts of all items are sent.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import Handle
from models.fasttext import Blend
from pipeline.errors import UsageError
from pipeline.retrieval import packed_batches
from pipeline.retrieval.diversity import Diversity, diversify
from pipeline.retrieval.groups import GroupPlan, max_items_per_group, plan_by_rows
from pipeline.retrieval.loaded_group import groups_by_id
from pipeline.retrieval.reranking import ComparedItems, rerank
from pipeline.stages.context import Job
from pipeline.stages.embed import stage as embed
from pipeline.stages.embed.batches import item_features, load_blend
from pipeline.stages.embed.model_texts import token_texts
from pipeline.stages.index.lists import shuffle_by_group
from pipeline.stages.neighbors import boosts
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.storage.list_schemas import CHOSEN
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable
from pipeline.store.scan import rows_of_tasks

TABLE = "chosen"
# An item that another group's lists need, and which group.
_WANTED = pa.schema([("item_id", pa.string()), ("group", pa.int32())])
# `texts` are null if lists are not ranked again.
_SENT = pa.schema(
    [("item_id", pa.string()), ("vector", pa.binary()), ("texts", pa.list_(pa.string()))]
)
NEEDS_TOKENS = (
    "rank.rerank compares items by their letters, which the vectors of this encoder lack; set "
    "embed.lexical_weight, or rank.rerank = false"
)
_NEIGHBORS = ("item_id", "list", "neighbors")
# A group has so many times fewer items than one of the search: it also has other groups' items.
_SMALLER = 4
# To rank again, its own items have about so many tokens for each MB of a worker. A token has about
# six features of 12 bytes, and of other groups one or two times as many items are sent to it.
_TOKENS_PER_MB = 1_500


@dataclass(frozen=True)
class Reranking:
    """What ranks candidates again.

    Attributes:
        model: as shipped.
        blend: how vectors are computed.
    """

    model: Handle
    blend: Blend

    def features(self, ids: pa.Array, vectors: pa.Array, texts: pa.Array) -> ComparedItems:
        """Items by what they are compared by; called on an executor.

        Args:
            ids: string[n].
            vectors: binary[n], float16.
            texts: list<string>[n]: tokens, as `token_texts` has them.
        """
        model = load_blend(self.model, self.blend)
        return ComparedItems.of(ids, vectors, item_features(model, texts), model.letters_from)


def check_settings(job: Job) -> None:
    """Check that lists can be ranked again, if they are to be.

    Raises:
        UsageError: the vectors are not made from tokens and a catalogue's statistics.
    """
    if job.config.rank.rerank and embed.blend_settings(job) is None:
        raise UsageError(NEEDS_TOKENS)


def write(context: SearchContext, version: str) -> int:
    """Choose from the candidates in the neighbors table; return the number of rows.

    Args:
        context: what the search works with.
        version: of the neighbors table, and of the table of the chosen lists.
    """
    job, store, rank = context.job, context.job.store, context.job.config.rank
    job.line.note = "choosing from the candidates"
    index, section = job.record("index"), job.config.neighbors
    sizes = job.list_sizes(index.fingerprint, context.nlist)
    most = max_items_per_group(section.worker_mb, index.outputs["dim"]) // _SMALLER
    if rank.rerank:
        most = min(most, int(section.worker_mb * _TOKENS_PER_MB / _mean_tokens(job)))
    most = max(1, most)
    cores = job.spark.sparkContext.defaultParallelism
    groups = max(-(-int(sizes.sum()) // most), min(cores, int(sizes.sum())), 1)
    blend, reranking = embed.blend_settings(job), None
    if rank.rerank and blend is not None:
        reranking = Reranking(embed.ship_model(job), blend)
    chooser = _Chooser(
        store.open_clustered("lists", index.fingerprint),
        store.open_clustered("neighbors", version),
        plan_by_rows(np.maximum(sizes, 1), groups),
        boosts.diversity(rank, section.k),
        reranking,
    )
    wanted = rows_of_tasks(job.spark, chooser.plan.group_count, chooser.wanted)
    ids = wanted.frame.mapInArrow(wanted.run, schemas.ddl(_WANTED))
    items = job.read("lists", "index").select("item_id", "vector")
    if reranking is not None:
        items = items.join(token_texts(job), "item_id", "inner")
    joined = items.join(ids, "item_id", "inner")
    sent = joined.mapInArrow(_send, schemas.ddl(packed_batches.SCHEMA))
    count = chooser.plan.group_count
    rows = Rows(shuffle_by_group(sent, count, count), chooser.receive)
    written = store.write_arrow(TABLE, version, rows)
    job.line.note = ""
    return written


def _mean_tokens(job: Job) -> float:
    """How many tokens an item has, 1 at least."""
    from pyspark.sql import functions as F

    (mean,) = job.read("embeddings", "embed").agg(F.mean("tokens")).first() or (0,)
    return max(float(mean or 0), 1.0)


def _send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in packed_batches.coalesce(batches):
        rows = _as_sent(batch)
        keys = batch["group"].to_numpy().astype(np.int64)
        take = packed_batches.take_from(rows)
        yield from packed_batches.pack(take, keys, rows.nbytes // rows.num_rows)


def _as_sent(rows: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in _SENT
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_SENT)


@dataclass(frozen=True)
class _Chooser:
    """What each task does.

    Attributes:
        items: the files of the lists table.
        neighbors: the files of the neighbors table.
        plan: the groups.
        settings: how lists are chosen.
        reranking: what ranks candidates again; None if nothing does.
    """

    items: ClusteredTable
    neighbors: ClusteredTable
    plan: GroupPlan
    settings: Diversity
    reranking: Reranking | None

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
        """The items that are sent to a group."""
        seen = pa.array([], pa.string())
        if self.reranking is None:
            own = self.items.rows(*self.plan.list_range(group), ("item_id",))
            seen = pa.concat_arrays([seen, *(batch["item_id"] for batch in own)])
        for rows in self._rows(group):
            ids = self._candidates(rows)
            if self.reranking is not None:
                ids = pc.unique(pa.concat_arrays([rows["item_id"], ids]))
            ids = ids.filter(pc.invert(pc.is_in(ids, seen)))
            seen = pa.concat_arrays([seen, ids])
            groups = pa.array(np.full(len(ids), group, dtype=np.int32))
            yield pa.RecordBatch.from_arrays([ids, groups], schema=_WANTED)

    def receive(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The chosen lists of each group; an empty cell announces every group."""
        for group, sent in packed_batches.iter_keys(batches, _SENT):
            parts = [rows for rows in self._rows(group) if rows.num_rows]
            items = packed_batches.concat([*sent, *self._own_items(group, parts)], _SENT)
            ids, vectors = items["item_id"], items["vector"]
            compared = None
            if self.reranking is not None:
                compared = self.reranking.features(ids, vectors, items["texts"])
            for rows in parts:
                yield choose(rows, ids, vectors, self.settings, compared)

    def _own_items(self, group: int, parts: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The items of the group's own lists that are not sent to it."""
        if self.reranking is not None:
            return
        ids = [pa.array([], pa.string()), *map(self._candidates, parts)]
        wanted = pc.unique(pa.concat_arrays(ids))
        for batch in self.items.rows(*self.plan.list_range(group), ("item_id", "vector")):
            yield _as_sent(batch.filter(pc.is_in(batch["item_id"], wanted)))


def choose(
    rows: pa.RecordBatch,
    ids: pa.Array,
    vectors: pa.Array,
    settings: Diversity,
    compared: ComparedItems | None,
    own: np.ndarray | None = None,
) -> pa.RecordBatch:
    """Choose lists.

    Args:
        rows: item_id and neighbors, best first.
        ids: string[n], distinct; those of all neighbours that are chosen from.
        vectors: binary[n], float16, those of these items.
        settings: how they are chosen.
        compared: these items and those of the rows, if candidates are ranked again.
        own: int64[rows], where the rows' items are in `compared`; None: by their ids.

    Returns:
        rows of CHOSEN, in the order of `rows`.
    """
    if compared is not None:
        own = compared.positions(rows["item_id"]) if own is None else own
        rows = rerank(rows, own, compared, settings.depth)
    if settings.share:
        return diversify(rows, ids, vectors, settings)
    first = pc.list_slice(rows["neighbors"], 0, settings.k).cast(CHOSEN.field("neighbors").type)
    return pa.RecordBatch.from_arrays([rows["item_id"], first], schema=CHOSEN)
