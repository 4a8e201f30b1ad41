"""neighbors: lists -> neighbors and short_lists, and their recall."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, shipping
from pipeline import asking, lasting, short_lists, truth
from pipeline.job import Job, Made
from pipeline.nearest import Counts, Probes, Search, merge_parts
from pipeline.progress import watched
from pipeline.retrieval import groups, recall
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "neighbors"
CODE = (
    "pipeline.asking",
    "pipeline.nearest",
    "pipeline.retrieval.clustered",
    "pipeline.retrieval.groups",
    "pipeline.retrieval.held",
    "pipeline.retrieval.join",
    "pipeline.retrieval.merge",
    "pipeline.retrieval.parcels",
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.queries",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.recall",
    "pipeline.retrieval.route",
    "pipeline.retrieval.search",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.short_lists",
    "pipeline.tables",
    "pipeline.truth",
)

# Where the finished table misses the target all the same, so many more lists are probed, so often.
MORE_PROBES = 1.5
ATTEMPTS = 3


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section = job.config.neighbors
    built_on = asking.baseline(job) if section.mode == "new" and not section.where else None
    return {
        "lists": job.record("index").fingerprint,
        "items": job.record("ingest").outputs["content"] if section.where else None,
        "settings": section.model_dump(exclude={"worker_mb", "partitions"}),
        "known": built_on and built_on.items,
    }


@dataclass
class Night:
    """What the stage works with.

    Attributes:
        lists: the lists table.
        asked: the items that want neighbours; None for all.
        queries: the rows of the lists table that do.
        count: how many those are.
        centroids: the quantiser's file; None where every list is searched.
        search: the groups and tasks.
    """

    job: Job
    lists: "DataFrame"
    asked: "DataFrame | None"
    queries: "DataFrame"
    count: int
    centroids: Handle | None
    search: Search

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self.job.record("index").outputs["lists"])


def execute(job: Job, version: str) -> Made:
    """Find the neighbours, list the items that are short of them, and measure recall."""
    night = _night(job)
    nprobe, sample = _probes(night)
    rows, measured, nprobe = _find(night, nprobe, sample, version)
    if night.centroids is not None and not job.config.neighbors.nprobe:
        lasting.note_probes(job, job.record("index").outputs["quantiser"], nprobe)
    counts = {"probes": nprobe, "groups": night.search.plan.groups}
    return _made(night, version, rows, measured, counts)


def _night(job: Job) -> Night:
    index, section = job.record("index"), job.config.neighbors
    lists, asked = job.read("lists", "index"), asking.asked(job)
    asks = lists
    if asked is not None:
        asks = lists.join(asked.select("item_id"), "item_id", how="left_semi")
    centroids, context = None, job.spark.sparkContext
    if not index.outputs["exact"]:
        centroids = shipping.ship(context, _quantiser(job), kind="quantiser")
    cores, kept = context.defaultParallelism, section.k + section.reserve
    sizes = _sizes(job, lists)
    queries = sizes if asked is None else _sizes(job, asks)
    plan = groups.plan(sizes, cores, groups.most_items(section.worker_mb, index.outputs["dim"]))
    search = Search(
        items=job.store.clustered("lists", index.fingerprint),
        plan=plan,
        parts=merge_parts(queries, kept, cores),
        k=kept,
        partitions=section.partitions or plan.groups,
        everyone=asked is None,
        counts=Counts(context),
    )
    return Night(job, lists, asked, asks, int(queries.sum()), centroids, search)


def _quantiser(job: Job) -> Path:
    return job.store.quantiser_path(job.record("index").outputs["quantiser"])


def centroids_of(job: Job) -> Float32:
    """The quantiser's centroids: float32[nlist, dim]."""
    centroids: Float32 = np.load(_quantiser(job))
    return centroids


def _sizes(job: Job, lists: "DataFrame") -> Int64:
    """How many of these rows each list has: int64[nlist]."""
    sizes = np.zeros(job.record("index").outputs["lists"], dtype=np.int64)
    # One row a list: a thousandth of the items or less.
    for row in lists.groupBy("list").count().collect():
        sizes[row["list"]] = row["count"]
    return sizes


def _probes(night: Night) -> tuple[int, truth.Sample]:
    """How many lists are searched for a query, and the sample that recall is measured on.

    The number is as set, or as a pilot sample needs, which is another than the one returned.
    """
    job, section = night.job, night.job.config.neighbors
    piloted = night.centroids is not None and not section.nprobe
    most = section.recall_sample * (2 if piloted else 1)
    job.line.note = "exact search for a sample"
    sample = truth.take(night.lists, night.queries, night.count, most, section.k, section.seed)
    job.line.note = ""
    if not piloted:
        return min(section.nprobe or night.nlist, night.nlist), sample
    # Of a small catalogue nothing may be left for a second sample.
    measured, pilot = sample[: section.recall_sample], sample[section.recall_sample :]
    centroids, target = centroids_of(job), section.target_recall
    depths = (pilot if pilot.ids else sample).depths(centroids)
    enough = recall.probes_for(depths, night.nlist, target)
    # What the finished table will show is known: it holds the best of the lists probed.
    shown = recall.probes_for(measured.depths(centroids), night.nlist, target, 0)
    return max(enough, shown), measured


def _find(
    night: Night, nprobe: int, sample: truth.Sample, version: str
) -> tuple[int, recall.Recall, int]:
    """Write the neighbors table, and again with more probes where its recall is too low."""
    job, section, search = night.job, night.job.config.neighbors, night.search
    first, earlier = 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        probes = Probes(night.centroids, night.nlist, first, nprobe)
        found = search.found(night.queries, probes)
        if earlier:
            before = job.store.read(job.spark, "neighbors", earlier)
            found = found.unionByName(search.as_found(before))
        trial = job.store.trial(version)
        started, total = time.monotonic(), search.plan.groups * attempt

        def note(started: float = started, total: int = total) -> str:
            return search.counts.progress(total, time.monotonic() - started)

        with watched(job.line, note):
            rows = job.store.write(search.merged(found), "neighbors", trial)
        if earlier:
            job.store.discard("neighbors", earlier)
        job.line.note = "measuring recall"
        measured = sample.recall_of(job.store.read(job.spark, "neighbors", trial), section.k)
        job.line.note = ""
        met = measured.value >= section.target_recall or not measured.queries
        if met or section.nprobe or nprobe == night.nlist or attempt == ATTEMPTS:
            break
        first, earlier = nprobe, trial
        nprobe = min(math.ceil(nprobe * MORE_PROBES), night.nlist)
    job.store.rename("neighbors", trial, version)
    return rows, measured, nprobe


def _made(
    night: Night, version: str, rows: int, measured: recall.Recall, counts: dict[str, Any]
) -> Made:
    from pyspark.sql import functions as F

    job, section = night.job, night.job.config.neighbors
    vectors = job.record("index").outputs["vectors"]
    found = job.store.read(job.spark, "neighbors", version)
    short = short_lists.of(job, night.lists, night.asked, found, rows)
    short_rows = job.store.write(short, "short_lists", version)
    written = job.store.read(job.spark, "short_lists", version)
    reasons = written.groupBy("reason").agg(F.count("*"), F.sum("neighbors")).collect()
    few = {row[0]: (row[1], row[2]) for row in sorted(reasons)}
    with_none = written.where("neighbors = 0").count()
    # Every other item has k.
    pairs = (rows - short_rows + with_none) * section.k + sum(had for _, had in few.values())
    return Made(
        tables={"neighbors": rows, "short_lists": short_rows},
        counts={
            "items_with_neighbors": rows,
            "pairs": pairs,
            "short_lists": short_rows,
            "short_list_reasons": {reason: count for reason, (count, _) in few.items()},
            **counts,
            **night.search.counts.of_run(night.count, vectors),
        },
        outputs={"recall": asdict(measured), "pairs": pairs},
    )
