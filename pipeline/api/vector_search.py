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
from pipeline.retrieval.float16 import round_to_float16
from pipeline.spark import executors, object_stores, session
from pipeline.spark.log import SparkLog
from pipeline.stages.context import Job
from pipeline.stages.index import lists
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage
from pipeline.stages.neighbors.nprobe import choose_nprobe
from pipeline.stages.neighbors.search_context import (
    SearchContext,
    build_search_context,
    rows_per_list,
)
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import SIMILAR_ITEMS, ddl
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_RUN, _VERSION, _QUERIES = "search", "vectors", "queries"
# The value of the embeddings table's `tokens` for a vector with a value that float16 can't hold.
_UNREPRESENTABLE = -1
_NO_VECTOR = "nothing has a vector"


def search_config(config: Config, k: int, *, exact: bool | None) -> Config:
    """The config of a search: a config without rules, for all items.

    Args:
        config: the config that it starts from.
        k: neighbours of each.
        exact: whether each is compared with each; None: as the config says.
    """
    exact_below = {None: config.index.exact_below, True: 2**62, False: 0}[exact]
    all_items = {"k": k, "reserve": 0, "mode": "all", "where": ""}
    return config.model_copy(
        update={
            "index": config.index.model_copy(update={"exact_below": exact_below}),
            "neighbors": type(config.neighbors)(**(config.neighbors.model_dump() | all_items)),
            "rules": RulesSection(),
        }
    )


@contextmanager
def temporary_store(config: Config, *, in_store: bool) -> Iterator[Store]:
    """A store for one search. At its exit only the result stays, until this process ends.

    Args:
        config: names the store of the catalogue.
        in_store: whether the temporary store is a folder of the catalogue's store, from which runs
            remove it if this process dies; else it is a temporary folder of this host.
    """
    if in_store:
        path = f"{config.store.path.rstrip('/')}/.search-{owner_tag()}"
    else:
        path = tempfile.mkdtemp(prefix="nitamono-search-")
    store = Store(path, config.object_stores(), mark=False)
    atexit.register(remove_tree, store.root)
    try:
        yield store
    finally:
        _remove_all_but_result(store.root)


def _remove_all_but_result(root: StoragePath) -> None:
    for folder in root.iterdir():
        if folder.name != "tables":
            remove_tree(folder)
    for folder in (root / "tables").iterdir() if (root / "tables").is_dir() else ():
        if folder.name != "similar_items":
            remove_tree(folder)


def search(
    config: Config, store: Store, vectors: "DataFrame", queries: "DataFrame | None"
) -> "DataFrame":
    """The similar-item table of vectors, computed on their session.

    Args:
        config: from `search_config`.
        store: from `temporary_store`.
        vectors: item_id string, vector array<float>.
        queries: vectors to find neighbours for, in the same form; None for the vectors themselves.

    Raises:
        UsageError: an id comes twice or is null, or vectors are not finite or of several lengths.
    """
    spark = vectors.sparkSession
    # The sibling session has the SQL settings that the stages need; the user's keeps its own.
    log = SparkLog(store.run_path(_RUN) / "spark.log")
    sibling, _ = session.start(object_stores.spark_settings(config), log)
    job = Job(config, store, _RUN, publishing=False, full=True, spark=sibling)
    folder = store.root if isinstance(store.root, Path) else None
    executors.check(sibling.sparkContext, folder, job.line)
    count, dim = _write_embeddings(job, vectors, _VERSION, "vectors")
    if not count:
        return spark.createDataFrame([], ddl(SIMILAR_ITEMS))
    outputs = {"vectors": count, "dim": dim, "space": "", "base": None, "why": _NO_VECTOR}
    job.set_record(StageRecord("embed", _VERSION, _RUN, {}, {"embeddings": count}, {}, outputs))
    result = index.execute(job, _VERSION)
    job.set_record(
        StageRecord("index", _VERSION, _RUN, {}, result.tables, result.counts, result.outputs)
    )
    context = build_search_context(job, _VERSION)
    if queries is not None:
        query_count, query_dim = _write_embeddings(job, queries, _QUERIES, "queries")
        if not query_count:
            return spark.createDataFrame([], ddl(SIMILAR_ITEMS))
        if query_dim != dim:
            raise UsageError(
                f"queries: vectors have {query_dim} values, those of vectors have {dim}"
            )
        context = _with_queries(context)
    _write_similar_items(context)
    return store.read(spark, "similar_items", _VERSION)


def _write_similar_items(context: SearchContext) -> None:
    """Search, and write the similar-item table; warn if recall is below its target."""
    job = context.job
    recall = stage.search_until_target(context, choose_nprobe(context, None), _VERSION).measured
    if not context.reaches_target(recall) and not job.config.neighbors.nprobe:
        warnings.warn(
            f"recall@{recall.k} is {recall.value:.4f} of {recall.queries} queries against "
            f"exact search, below neighbors.target_recall = "
            f"{job.config.neighbors.target_recall}; set exact=True, or a lower k",
            stacklevel=4,
        )
    neighbors = job.store.read(job.spark, "neighbors", _VERSION).orderBy("item_id")
    pairs = neighbors.selectExpr("item_id", "posexplode(neighbors) as (pos, near)")
    table = pairs.selectExpr("item_id", "pos + 1 as rank", "near.similar_id", "near.score")
    job.store.write(table, "similar_items", _VERSION)


def _with_queries(context: SearchContext) -> SearchContext:
    """The search context with the queries of the embeddings table _QUERIES instead of the items."""
    job, outputs = context.job, context.job.record("index").outputs
    if context.centroids is None:
        assign = lists.assign_by_hash(context.nlist)
    else:
        assign = lists.assign_by_quantiser(context.centroids, outputs["probes"])
    # They are written to a table, because the search reads them in Python workers of its own.
    rows = lists.assigned_rows(_float16_vectors(job, _QUERIES), assign)
    job.store.write_arrow("arrivals", _QUERIES, rows)
    queries = job.store.read(job.spark, "arrivals", _QUERIES)
    sizes = rows_per_list(job, queries)
    search = replace(context.search, all_are_queries=False, query_sizes=sizes)
    return replace(
        context,
        query_items=queries,
        queries=queries,
        query_count=int(sizes.sum()),
        search=search,
    )


def _float16_vectors(job: Job, version: str) -> "DataFrame":
    table = job.store.read(job.spark, "embeddings", version).where("half is not null")
    return table.selectExpr("item_id", "half as vector")


def _write_embeddings(job: Job, vectors: "DataFrame", version: str, name: str) -> tuple[int, int]:
    """Write vectors as an embeddings table.

    Returns:
        the number of vectors that are neither null nor zero, and their length.

    Raises:
        UsageError: an id comes twice or is null, or vectors are not finite or of several lengths.
    """
    from pyspark.sql import functions as F

    job.store.write_arrow("embeddings", version, Rows(vectors, _round_batches))
    table = job.store.read(job.spark, "embeddings", version)
    unrepresentable, length = F.col("tokens") == _UNREPRESENTABLE, F.length("half")
    totals = table.agg(
        F.count("half"), F.min(length), F.max(length), F.count_if(F.col("item_id").isNull()),
        F.min(F.when(unrepresentable, F.col("item_id"))),
    ).first()  # fmt: skip
    assert totals is not None  # noqa: S101 - an aggregate has one row
    count, min_bytes, max_bytes, null_ids, bad_id = totals
    duplicate = table.groupBy("item_id").count().where("count > 1").first()
    problem = ""
    if null_ids:
        problem = f"{null_ids:,} rows have no item_id"
    elif bad_id is not None:
        problem = f"the vector of {bad_id} holds values that are null or not finite"
    elif min_bytes != max_bytes:
        problem = f"vectors have from {min_bytes // 2} to {max_bytes // 2} values, not one number"
    elif duplicate is not None:
        problem = f"item_id {duplicate['item_id']} comes {duplicate['count']} times, not once"
    if problem:
        raise UsageError(f"{name}: {problem}")
    return int(count), (max_bytes or 0) // 2


def _round_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of the embeddings table from item_id and vector; its column `vector` is null."""
    for batch in batches:
        half, unrepresentable = round_to_float16(batch["vector"])
        tokens = pa.array(np.where(unrepresentable, _UNREPRESENTABLE, 1).astype(np.int32))
        no_vectors = pa.nulls(len(unrepresentable), pa.list_(pa.float32()))
        columns = [batch["item_id"], no_vectors, tokens, half]
        yield pa.RecordBatch.from_arrays(columns, ["item_id", "vector", "tokens", "half"])
