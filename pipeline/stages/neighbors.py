"""neighbors: lists -> neighbors and short_lists, and their recall."""

import math
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, shipping
from pipeline import nearest
from pipeline.job import Job, Made
from pipeline.retrieval import groups, recall
from pipeline.truth import Sample

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "neighbors"
CODE = (
    "pipeline.nearest",
    "pipeline.retrieval.groups",
    "pipeline.retrieval.join",
    "pipeline.retrieval.merge",
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.queries",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.recall",
    "pipeline.retrieval.route",
    "pipeline.retrieval.search",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
    "pipeline.truth",
)

# Why an item has fewer neighbours than were asked for.
NO_TOKENS = "no_tokens"
NO_VECTOR = "no_vector"
FEW_ITEMS = "few_items"
FEW_IN_LISTS = "few_in_lists"

# Where the finished table misses the target, so many more lists are probed, so often.
MORE_PROBES = 1.5
ATTEMPTS = 3


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section = job.config.neighbors
    last = job.store.latest("items") if section.mode == "new" and not section.where else None
    return {
        "lists": job.record("index").fingerprint,
        "items": job.record("ingest").fingerprint if section.where else None,
        "settings": section.model_dump(exclude={"worker_mb", "partitions"}),
        "last": last and last["version"],
    }


@dataclass
class Night:
    """What the stage works with.

    Attributes:
        lists: item_id, list, vector, and in a run of some items only `query`.
        queries: how many items want neighbours.
        centroids: the quantiser's file; None where every list is searched.
        counts: of what the tasks did.
    """

    job: Job
    lists: "DataFrame"
    queries: int
    centroids: Handle | None
    counts: nearest.Counts

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self.job.record("index").outputs["lists"])

    @property
    def cores(self) -> int:
        """How many tasks run at once."""
        return int(self.job.spark.sparkContext.defaultParallelism)

    def sample(self, seed: int) -> Sample:
        """Some of the queries, with their true neighbours."""
        section = self.job.config.neighbors
        return Sample.take(self.lists, self.queries, section.recall_sample, section.k, seed)


def execute(job: Job, version: str) -> Made:
    """Find the neighbours, list the items that are short of them, and measure recall."""
    night = _night(job)
    plan = _plan(night)
    nprobe = _probes(night)
    rows, measured, nprobe = _find(night, plan, nprobe, version)
    return _made(night, version, rows, measured, {"probes": nprobe, "groups": plan.groups})


def _night(job: Job) -> Night:
    index = job.record("index")
    lists = job.read("lists", "index")
    queries = index.outputs["vectors"]
    chosen = asking(job)
    if chosen is not None:
        from pyspark.sql import functions as F

        marked = chosen.select("item_id", F.lit(True).alias("query"))
        lists = lists.join(marked, "item_id", how="left").withColumn(
            "query", F.coalesce("query", F.lit(False))
        )
        queries = lists.where("query").count()
    centroids = None
    if not index.outputs["exact"]:
        path = job.store.quantiser_path(index.fingerprint)
        centroids = shipping.ship(job.spark.sparkContext, Handle.of("quantiser", path))
    return Night(job, lists, queries, centroids, nearest.Counts(job.spark.sparkContext))


def asking(job: Job) -> "DataFrame | None":
    """The items that neighbours are wanted for; None for all.

    Those that match the setting `where`; or the new ones: those that the catalogue of the
    published version lacks.
    """
    section = job.config.neighbors
    if section.where:
        return job.read("items", "ingest").where(section.where)
    last = job.store.latest("items") if section.mode == "new" else None
    if last is None:
        return None
    items = job.read("items", "ingest")
    known = job.store.read(job.spark, "items", last["version"]).select("item_id")
    return items.join(known, "item_id", how="left_anti")


def _plan(night: Night) -> groups.Plan:
    # One row a list: a two-thousandth of the items or less.
    rows = night.lists.groupBy("list").count().collect()
    sizes = np.zeros(night.nlist, dtype=np.int64)
    for row in rows:
        sizes[row["list"]] = row["count"]
    first = night.lists.select("vector").first()
    dim = len(first["vector"]) // 2 if first else 1
    centroids = None if night.centroids is None else np.load(night.centroids.path)
    most = groups.most_items(night.job.config.neighbors.worker_mb, dim)
    return groups.plan(sizes, centroids, night.cores, most)


def _probes(night: Night) -> int:
    """How many lists are searched for a query: as set, or as a pilot sample needs."""
    section = night.job.config.neighbors
    if night.centroids is None:
        return night.nlist
    if section.nprobe:
        return min(section.nprobe, night.nlist)
    night.job.line.note = "choosing probes by a pilot sample"
    depths = night.sample(section.seed + 1).depths(night.lists, np.load(night.centroids.path))
    nprobe = recall.probes_for(depths, night.nlist, section.target_recall)
    night.job.line.note = ""
    return nprobe


def _find(
    night: Night, plan: groups.Plan, nprobe: int, version: str
) -> tuple[int, recall.Recall, int]:
    """Write the neighbors table, and again with more probes where its recall is too low."""
    job, section = night.job, night.job.config.neighbors
    sample = night.sample(section.seed)
    partitions = section.partitions or plan.groups
    first, earlier = 0, None
    for attempt in range(1, ATTEMPTS + 1):
        probes = nearest.Probes(night.centroids, night.nlist, first, nprobe)
        found = nearest.search(night.lists, probes, plan, section.k, partitions, night.counts)
        if earlier is not None:
            found = found.unionByName(nearest.as_found(job.store.read(job.spark, *earlier)))
        table = nearest.merged(found, section.k, night.queries, night.cores)
        with nearest.shown(job.line, night.counts, plan.groups * attempt):
            rows = job.store.write(table, "neighbors", version)
        if earlier is not None:
            shutil.rmtree(job.store.table_path(*earlier))
        job.line.note = "measuring recall"
        measured = sample.recall_of(job.store.read(job.spark, "neighbors", version), section.k)
        job.line.note = ""
        met = measured.value >= section.target_recall or not measured.queries
        if met or section.nprobe or nprobe == night.nlist or attempt == ATTEMPTS:
            break
        earlier = ("neighbors", f"{version}-{nprobe}")
        job.store.table_path("neighbors", version).rename(job.store.table_path(*earlier))
        first, nprobe = nprobe, min(math.ceil(nprobe * MORE_PROBES), night.nlist)
    return rows, measured, nprobe


def _made(
    night: Night, version: str, rows: int, measured: recall.Recall, counts: dict[str, Any]
) -> Made:
    from pyspark.sql import functions as F

    job, section = night.job, night.job.config.neighbors
    vectors = job.record("index").outputs["vectors"]
    neighbors = job.store.read(job.spark, "neighbors", version)
    embeddings = job.read("embeddings", "embed")
    chosen = asking(job)
    if chosen is not None:
        embeddings = embeddings.join(chosen.select("item_id"), "item_id", how="left_semi")
    short = short_lists(embeddings, neighbors, section.k, vectors)
    short_rows = job.store.write(short, "short_lists", version)
    pairs = neighbors.agg(F.coalesce(F.sum(F.size("neighbors")), F.lit(0))).first()
    reasons = job.store.read(job.spark, "short_lists", version).groupBy("reason").count().collect()
    assert pairs is not None  # noqa: S101 - an aggregate has one row
    return Made(
        tables={"neighbors": rows, "short_lists": short_rows},
        counts={
            "items_with_neighbors": rows,
            "pairs": int(pairs[0]),
            "short_lists": short_rows,
            "short_list_reasons": {row["reason"]: row["count"] for row in sorted(reasons)},
            **counts,
            **night.counts.of_run(night.queries, vectors),
        },
        outputs={"recall": asdict(measured), "pairs": int(pairs[0])},
    )


def short_lists(
    embeddings: "DataFrame", neighbors: "DataFrame", k: int, vectors: int
) -> "DataFrame":
    """Every item with fewer than k neighbours, how many it has, and why."""
    from pyspark.sql import functions as F

    sizes = neighbors.select("item_id", F.size("neighbors").alias("size"))
    had = F.coalesce("size", F.lit(0))
    reason = (
        F.when(F.col("tokens") == 0, F.lit(NO_TOKENS))
        .when(F.col("vector").isNull(), F.lit(NO_VECTOR))
        .when(had == F.lit(vectors - 1), F.lit(FEW_ITEMS))
        .otherwise(F.lit(FEW_IN_LISTS))
    )
    return (
        embeddings.join(sizes, "item_id", how="left")
        .where(had < k)
        .select("item_id", had.alias("neighbors"), reason.alias("reason"))
    )
