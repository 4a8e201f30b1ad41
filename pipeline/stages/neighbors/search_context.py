"""What one search for neighbours works with: the lists, the queries and the groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import Handle
from pipeline.config.sections import Config
from pipeline.retrieval import groups, recall
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import NO_RULES
from pipeline.stages.context import Job
from pipeline.stages.neighbors import (
    boosts,
    candidate_table,
    edits,
    exposure,
    query_items,
    rules,
)
from pipeline.stages.neighbors.boosts import Quantiles
from pipeline.stages.neighbors.search import (
    ITEM_COLUMNS,
    ListSearch,
    ProbedLists,
    SearchCounts,
)
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Candidates that a group has for a query, for each neighbour that is kept, if there are caps.
CANDIDATES_PER_NEIGHBOR = 2
# Tasks of a scan of all items for each core: what each of them finds is merged.
SCANS_PER_CORE = 4
_SHORT_ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("neighbors", pa.int32()),
        ("probes", pa.int32()),
    ]
)


@dataclass
class SearchContext:
    """What the stage works with.

    Attributes:
        job: the run.
        lists: the lists table; if there are rules, the candidates table.
        query_items: the items that neighbours are wanted for (neighbors.mode and .where); None
            for all.
        queries: the rows of `lists` that are queries.
        query_count: how many those are.
        centroids: the quantiser's file; None if every list is searched.
        search: the groups and tasks.
        quantiles: of the columns of rank.value.
    """

    job: Job
    lists: "DataFrame"
    query_items: "DataFrame | None"
    queries: "DataFrame"
    query_count: int
    centroids: Handle | None
    search: ListSearch
    quantiles: Quantiles

    def query_rows(self) -> Rows:
        """The queries, for the search."""
        if self.search.all_are_queries:
            return self.search.scan(self.job.spark, ITEM_COLUMNS)
        return Rows(self.queries, iter)

    def item_rows(self, columns: Sequence[str]) -> Rows:
        """All items of `lists`, for tasks each of which keeps little of many items."""
        spark = self.job.spark
        tasks = SCANS_PER_CORE * spark.sparkContext.defaultParallelism
        return self.search.scan(spark, columns, tasks)

    def neighbor_rows(self, version: str, columns: Sequence[str]) -> Rows:
        """The rows of a version of the neighbors table."""
        store, spark = self.job.store, self.job.spark
        return store.scan_lists(spark, "neighbors", version, self.nlist, columns)

    def short_rows(self, version: str) -> "DataFrame":
        """The rows of the neighbors table with fewer than k neighbours.

        Returns:
            item_id string, list int, neighbors int: how many, probes int.
        """
        k = self.job.config.neighbors.k

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                counts = pc.list_value_length(batch["neighbors"])
                place = batch.schema.get_field_index("neighbors")
                counted = batch.set_column(place, "neighbors", counts)
                yield counted.filter(pc.less(counts, k)).select(_SHORT_ROWS.names)

        rows = self.neighbor_rows(version, _SHORT_ROWS.names).map(run)
        return rows.frame.mapInArrow(rows.run, ddl(_SHORT_ROWS))

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self.job.record("index").outputs["lists"])

    def probed(self, nprobe: int) -> ProbedLists:
        """The lists of a query, if this many are probed."""
        return ProbedLists(self.centroids, self.nlist, nprobe)

    def reaches_target(self, measured: recall.Recall) -> bool:
        """Whether a recall reaches neighbors.target_recall."""
        target = self.job.config.neighbors.target_recall
        return measured.value >= target or not measured.queries


def build_search_context(job: Job, version: str) -> SearchContext:
    """What this run's search works with.

    Args:
        job: the run.
        version: of the candidates table, which is written if there are rules.
    """
    index, section = job.record("index"), job.config.neighbors
    plain, centroids = _plain_search(job), None
    if not index.outputs["exact"]:
        path = job.store.quantisers.path(index.outputs["quantiser"])
        centroids = job.ship(path, "quantiser")
    table, table_version, sizes = "lists", index.fingerprint, plain.query_sizes
    quantiles = boosts.find_quantiles(job)
    if rules.has_rules(job.config):
        table, table_version = "candidates", version
        crowding = None
        if job.config.rank.exposure:
            nlist = index.outputs["lists"]
            width = nlist if centroids is None else min(exposure.PROBES, nlist)
            probed = ProbedLists(centroids, nlist, width)
            crowding = exposure.write(job, version, plain, probed)
        traits = rules.item_traits(job, quantiles, crowding)
        candidate_table.write(job, version, sizes, traits)
    rows = job.store.read(job.spark, table, table_version)
    selected = query_items.select_query_items(job)
    queries = rows.where("asks is null or asks") if job.config.rules.query else rows
    if selected is not None:
        queries = queries.join(selected.select("item_id"), "item_id", how="left_semi")
    query_sizes = sizes if queries is rows else rows_per_list(job, queries)
    search = replace(
        plain,
        items=job.store.open_clustered(table, table_version),
        query_sizes=query_sizes,
        k=candidates_kept(job.config) + section.reserve,
        depth=candidate_depth(job.config),
        rules=rules.pair_rules(job.config.rules, job.config.rank, edits.state(job)),
        all_are_queries=selected is None,
        counts=SearchCounts(job.spark.sparkContext),
    )
    query_count = int(query_sizes.sum())
    return SearchContext(job, rows, selected, queries, query_count, centroids, search, quantiles)


def _plain_search(job: Job) -> ListSearch:
    """The search of all items for each other, without rules."""
    index, section, context = job.record("index"), job.config.neighbors, job.spark.sparkContext
    sizes = job.list_sizes(index.fingerprint, index.outputs["lists"])
    max_items = groups.max_items_per_group(section.worker_mb, index.outputs["dim"])
    plan = groups.plan_by_work(sizes, context.defaultParallelism, max_items)
    return ListSearch(
        items=job.store.open_clustered("lists", index.fingerprint),
        plan=plan,
        query_sizes=sizes,
        k=exposure.NEAREST,
        depth=exposure.NEAREST,
        rules=NO_RULES,
        partitions=section.partitions or plan.group_count,
        cores=context.defaultParallelism,
        all_are_queries=True,
        counts=SearchCounts(context),
    )


def candidates_kept(config: Config) -> int:
    """How many neighbours of an item are kept, beside the reserve: what lists are chosen from."""
    return config.rank.candidates(config.neighbors.k)


def candidate_depth(config: Config) -> int:
    """How many candidates a group has for a query, at most."""
    capacity = candidates_kept(config) + config.neighbors.reserve
    has_caps = bool(config.rules.collapse or config.rules.max_per)
    return capacity * CANDIDATES_PER_NEIGHBOR if has_caps else capacity


def read_quantiser(job: Job) -> Quantiser:
    """The quantiser of the lists."""
    version = job.record("index").outputs["quantiser"]
    return Quantiser.from_arrays(job.store.quantisers.arrays(version))


def rows_per_list(job: Job, rows: "DataFrame") -> Int64:
    """How many of the rows each list has: int64[nlist]."""
    counts = np.zeros(job.record("index").outputs["lists"], dtype=np.int64)
    # One row a list is collected: a thousandth of the items or less.
    for row in rows.groupBy("list").count().collect():
        counts[row["list"]] = row["count"]
    return counts
