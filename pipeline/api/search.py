"""The search for neighbours of any vectors: the stages index and neighbors without a catalogue."""

import atexit
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.config.sections import Config, RulesSection
from pipeline.errors import UsageError
from pipeline.retrieval.rounding import round_to_float16
from pipeline.spark import executors, s3a, session
from pipeline.spark.log import SparkLog
from pipeline.stages.context import Job
from pipeline.stages.index import lists
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage
from pipeline.stages.neighbors.nprobe import choose_nprobe
from pipeline.stages.neighbors.search import plan_merge
from pipeline.stages.neighbors.search_context import (
    SearchContext,
    build_search_context,
    rows_per_list,
)
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.storage.processes import owner_tag
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import SIMILAR_ITEMS, ddl
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_RUN, _VERSION, _QUERIES = "search", "vectors", "queries"
# What `tokens` of the embeddings table says of a vector that holds what no float16 can.
_ODD = -1
_NO_VECTOR = "nothing has a vector"


def settings(config: Config, k: int, *, exact: bool | None) -> Config:
    """The config of a search: [index], [neighbors] and [s3] of another, no rules.

    Args:
        config: that other one.
        k: neighbours of each.
        exact: whether each is compared with each; None: as the config says.
    """
    below = {None: config.index.exact_below, True: 2**62, False: 0}[exact]
    everyone = {"k": k, "reserve": 0, "mode": "all", "where": ""}
    return config.model_copy(
        update={
            "index": config.index.model_copy(update={"exact_below": below}),
            "neighbors": type(config.neighbors)(**(config.neighbors.model_dump() | everyone)),
            "rules": RulesSection(),
        }
    )


@contextmanager
def workshop(config: Config, *, in_store: bool) -> Iterator[Store]:
    """A store of this search alone; when it is left only the result stays, until the process ends.

    Args:
        config: whose store it lies in: runs remove it where this process dies before.
        in_store: whether it does; else it is a temporary folder.
    """
    if in_store:
        path = f"{config.store.path.rstrip('/')}/.search-{owner_tag()}"
    else:
        path = tempfile.mkdtemp(prefix="nitamono-search-")
    store = Store(path, config.s3.options())
    atexit.register(remove_tree, store.root)
    try:
        yield store
    finally:
        _clear(store.root)


def _clear(root: StoragePath) -> None:
    for folder in root.iterdir():
        if folder.name != "tables":
            remove_tree(folder)
    for folder in (root / "tables").iterdir() if (root / "tables").is_dir() else ():
        if folder.name != "similar_items":
            remove_tree(folder)


def neighbors(
    config: Config, store: Store, vectors: "DataFrame", queries: "DataFrame | None"
) -> "DataFrame":
    """The similar-item table of these vectors, on the session that they are of.

    Args:
        config: of `settings`.
        store: of `workshop`.
        vectors: item_id string, vector array<float>.
        queries: the same; None for the vectors themselves.

    Raises:
        UsageError: an id comes twice or is null, or vectors are not finite or of several lengths.
    """
    spark = vectors.sparkSession
    # A sister has the SQL settings that the stages need; the user's stay.
    log = SparkLog(store.run_path(_RUN) / "spark.log")
    sister, _ = session.start(s3a.spark_settings(config), log)
    job = Job(config, store, _RUN, publishing=False, full=True, spark=sister)
    folder = store.root if isinstance(store.root, Path) else None
    executors.check(sister.sparkContext, folder, job.line)
    count, dim = _embedded(job, vectors, _VERSION, "vectors")
    if not count:
        return spark.createDataFrame([], ddl(SIMILAR_ITEMS))
    embedded = {"vectors": count, "dim": dim, "space": "", "base": None, "why": _NO_VECTOR}
    job.set_record(StageRecord("embed", _VERSION, _RUN, {}, {"embeddings": count}, {}, embedded))
    made = index.execute(job, _VERSION)
    job.set_record(StageRecord("index", _VERSION, _RUN, {}, made.tables, made.counts, made.outputs))
    context = build_search_context(job, _VERSION)
    if queries is not None:
        asked, other = _embedded(job, queries, _QUERIES, "queries")
        if not asked:
            return spark.createDataFrame([], ddl(SIMILAR_ITEMS))
        if other != dim:
            raise UsageError(f"queries: vectors have {other} values, those of vectors have {dim}")
        context = _asking(context)
    _found(context)
    return store.read(spark, "similar_items", _VERSION)


def _found(context: SearchContext) -> None:
    """Write the similar-item table."""
    job = context.job
    nprobe, sample = choose_nprobe(context)
    _, measured, _ = stage.search_until_target(context, nprobe, sample, _VERSION)
    if not context.reaches_target(measured) and not job.config.neighbors.nprobe:
        warnings.warn(
            f"recall@{measured.k} is {measured.value:.4f} of {measured.queries} queries against "
            f"exact search, below neighbors.target_recall = "
            f"{job.config.neighbors.target_recall}; set exact=True, or a lower k",
            stacklevel=5,
        )
    found = job.store.read(job.spark, "neighbors", _VERSION).orderBy("item_id")
    pairs = found.selectExpr("item_id", "posexplode(neighbors) as (pos, near)")
    table = pairs.selectExpr("item_id", "pos + 1 as rank", "near.similar_id", "near.score")
    job.store.write(table, "similar_items", _VERSION)


def _asking(context: SearchContext) -> SearchContext:
    """The search with the queries of the embeddings table _QUERIES in place of the items."""
    job, outputs = context.job, context.job.record("index").outputs
    if context.centroids is None:
        locate = lists.assign_by_hash(context.nlist)
    else:
        locate = lists.assign_by_quantiser(context.centroids, outputs["probes"])
    # Written, since the search reads them in Python workers of its own.
    job.store.write_arrow("arrivals", _QUERIES, lists.assigned_rows(_halves(job, _QUERIES), locate))
    queries = job.store.read(job.spark, "arrivals", _QUERIES)
    sizes, cores = rows_per_list(job, queries), job.spark.sparkContext.defaultParallelism
    parts = plan_merge(sizes, context.search.depth, cores)
    search = replace(context.search, all_are_queries=False, parts=parts)
    return replace(
        context,
        query_items=queries,
        queries=queries,
        query_count=int(sizes.sum()),
        search=search,
    )


def _halves(job: Job, version: str) -> "DataFrame":
    table = job.store.read(job.spark, "embeddings", version).where("half is not null")
    return table.selectExpr("item_id", "half as vector")


def _embedded(job: Job, vectors: "DataFrame", version: str, what: str) -> tuple[int, int]:
    """Write vectors as an embeddings table; how many there are, and their length.

    Raises:
        UsageError: they are not what `neighbors` asks for.
    """
    from pyspark.sql import functions as F

    job.store.write_arrow("embeddings", version, Rows(vectors, _rounded))
    table = job.store.read(job.spark, "embeddings", version)
    odd, length = F.col("tokens") == _ODD, F.length("half")
    first = table.agg(
        F.count("half"), F.min(length), F.max(length), F.count_if(F.col("item_id").isNull()),
        F.min(F.when(odd, F.col("item_id"))),
    ).first()  # fmt: skip
    assert first is not None  # noqa: S101 - an aggregate has one row
    count, least, most, nameless, strange = first
    twice = table.groupBy("item_id").count().where("count > 1").first()
    problem = ""
    if nameless:
        problem = f"{nameless:,} rows have no item_id"
    elif strange is not None:
        problem = f"the vector of {strange} holds values that are null or not finite"
    elif least != most:
        problem = f"vectors have from {least // 2} to {most // 2} values, not one number"
    elif twice is not None:
        problem = f"item_id {twice['item_id']} comes {twice['count']} times, not once"
    if problem:
        raise UsageError(f"{what}: {problem}")
    return int(count), (most or 0) // 2


def _rounded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of the embeddings table of item_id, vector; `vector` itself is left out."""
    for batch in batches:
        half, odd = round_to_float16(batch["vector"])
        tokens = pa.array(np.where(odd, _ODD, 1).astype(np.int32))
        none = pa.nulls(len(odd), pa.list_(pa.float32()))
        columns = [batch["item_id"], none, tokens, half]
        yield pa.RecordBatch.from_arrays(columns, ["item_id", "vector", "tokens", "half"])
