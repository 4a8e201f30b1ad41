"""neighbors: lists -> neighbors and short_lists, and their recall."""

import math
import time
from dataclasses import asdict
from typing import Any

from pipeline.retrieval import recall
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.incremental import Base
from pipeline.stages.index import current_quantiser, lists
from pipeline.stages.neighbors import (
    ground_truth,
    incremental_search,
    query_items,
    rules,
    short_lists,
    widening,
)
from pipeline.stages.neighbors.search import ProbedLists
from pipeline.stages.neighbors.search_context import (
    SearchContext,
    build_search_context,
    read_centroids,
)
from pipeline.store import publications, reasons
from pipeline.terminal.progress import updating_note

NAME = "neighbors"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1

# Where the finished table misses the target all the same, so many more lists are probed, so often.
MORE_PROBES = 1.5
ATTEMPTS = 3


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section = job.config.neighbors
    built_on = query_items.baseline(job) if section.mode == "new" and not section.where else None
    index = job.record("index")
    return {
        "lists": index.fingerprint,
        "items": job.record("ingest").outputs["content"] if section.where else None,
        "settings": section.model_dump(exclude={"worker_mb", "partitions"}),
        "known": built_on and built_on.items,
        "rules": rules.rule_inputs(job),
        "probes": None
        if section.nprobe or index.outputs["exact"]
        else current_quantiser.previous_nprobe(job),
    }


def execute(job: Job, version: str) -> StageResult:
    """Find the neighbours, list the items that are short of them, and measure recall."""
    night = build_search_context(job, version)
    nprobe, sample = choose_nprobe(night)
    base, since = _base(night, nprobe)
    if base.record is not None and since is not None:
        trial = job.store.trial_version(version)
        tables = incremental_search.update_neighbors(night, base.record, since, trial)
        settled = widening.complete_lists(night, trial, nprobe)
        if settled != trial:
            job.store.rename_version("neighbors", settled, trial)
        measured = _measure_recall(night, sample, trial)
        if night.met(measured) or night.job.config.neighbors.nprobe:
            for table in tables:
                job.store.rename_version(table, trial, version)
            return _made(night, version, tables, measured, nprobe, base)
        for table in tables:
            job.store.discard_version(table, trial)
        base = incremental.no_base("the earlier number of probes gave too low a recall")
    rows, measured, nprobe = search_until_target(night, nprobe, sample, version)
    tables = {"neighbors": rows, **_reach(night, nprobe, version)}
    return _made(night, version, tables, measured, nprobe, base)


def choose_nprobe(night: SearchContext) -> tuple[int, ground_truth.Sample]:
    """How many lists are searched for a query, and the sample that recall is measured on.

    The number is as set, or as it was the night before, or as a pilot sample needs, which is
    another than the one returned.
    """
    job, section = night.job, night.job.config.neighbors
    known = current_quantiser.previous_nprobe(job)
    chosen = night.centroids is not None and not section.nprobe
    piloted = chosen and known is None
    most = section.recall_sample * (2 if piloted else 1)
    job.line.note = "exact search for a sample"
    wanted = ground_truth.TruthSettings(section.k, night.search.rules)
    sample = ground_truth.draw_sample(
        night.lists, night.queries, night.count, most, wanted, section.seed
    )
    job.line.note = ""
    if not chosen:
        exact = night.centroids is None
        return night.nlist if exact else min(section.nprobe, night.nlist), sample
    # Of a small catalogue nothing may be left for a second sample.
    measured, pilot = sample[: section.recall_sample], sample[section.recall_sample :]
    centroids, target = read_centroids(job), section.target_recall
    depths = (pilot if pilot.ids else sample).depths(centroids)
    enough = known or recall.nprobe_for_recall(depths, night.nlist, target)
    # What the finished table will show is known: it holds the best of the lists probed.
    shown = recall.nprobe_for_recall(measured.depths(centroids), night.nlist, target, 0)
    return max(enough, shown), measured


def search_until_target(
    night: SearchContext, nprobe: int, sample: ground_truth.Sample, version: str
) -> tuple[int, recall.Recall, int]:
    """Write the neighbors table, and again with more probes where its recall is too low."""
    job, section, search = night.job, night.job.config.neighbors, night.search
    for attempt in range(1, ATTEMPTS + 1):
        probes = ProbedLists(night.centroids, night.nlist, nprobe)
        found = search.found(night.queries, probes)
        trial = job.store.trial_version(version)
        started, total = time.monotonic(), search.plan.groups * attempt

        def note(started: float = started, total: int = total) -> str:
            return search.counts.progress(total, time.monotonic() - started)

        with updating_note(job.line, note):
            rows = job.store.write_arrow("neighbors", trial, search.merged(found, probes))
        trial = widening.complete_lists(night, trial, nprobe)
        measured = _measure_recall(night, sample, trial)
        if night.met(measured) or section.nprobe or nprobe == night.nlist or attempt == ATTEMPTS:
            break
        # From the ground: of what has been searched already only the best are kept.
        job.store.discard_version("neighbors", trial)
        nprobe = min(math.ceil(nprobe * MORE_PROBES), night.nlist)
    job.store.rename_version("neighbors", trial, version)
    return rows, measured, nprobe


def _measure_recall(
    night: SearchContext, sample: ground_truth.Sample, version: str
) -> recall.Recall:
    job = night.job
    job.line.note = "measuring recall"
    found = job.store.read(job.spark, "neighbors", version)
    measured = sample.recall_of(found, job.config.neighbors.k)
    job.line.note = ""
    return measured


def _base(night: SearchContext, nprobe: int) -> tuple[Base, incremental_search.ListChanges | None]:
    """The earlier neighbours that can be built on, and what has changed since."""
    base = _fitting(night, nprobe)
    if base.record is None:
        return base, None
    vectors = night.job.record("index").outputs["vectors"]
    since = incremental_search.changes_since(night, base.record)
    if since.count > incremental_search.MOST_MOVED * vectors:
        why = f"{since.count:,} of {vectors:,} items have moved"
        return incremental.no_base(why), None
    return base, since


def _fitting(night: SearchContext, nprobe: int) -> Base:
    """The earlier neighbours that were made in the same way."""
    job = night.job
    if night.asked is not None or job.config.neighbors.mode != "all":
        return incremental.no_base("not every item asks")
    index = job.record("index")
    mine = inputs(job) | {"lists": index.outputs["base"]}
    variants = [
        mine | {"probes": n} for n in (mine["probes"], None, *current_quantiser.past_nprobes(job))
    ]
    if mine["rules"] is not None:
        variants = _under_the_same_rules(job, mine)
    base = incremental.stage_base(job, (NAME, CODE_VERSION), "index", *variants)
    if base.record is None:
        return base
    exact = night.centroids is None
    if not exact and "reach" not in base.record.tables:
        return incremental.no_base("the earlier lists did not hold enough probes")
    if not exact and nprobe != base.record.counts["probes"]:
        return incremental.no_base(f"{nprobe} lists are probed now")
    if not exact and index.outputs["probes"] < nprobe:
        return incremental.no_base("the lists do not hold enough probes")
    if exact and night.nlist != base.record.outputs["lists"]:
        return incremental.no_base("the number of lists has changed")
    return base


def _under_the_same_rules(job: Job, mine: dict[str, Any]) -> list[dict[str, Any]]:
    """What the published neighbours were made of, if of other items by the same rules."""
    published = publications.current(job.store)
    record = job.store.find_record(NAME, published.stages.get(NAME, "")) if published else None
    if record is None or record.inputs.get("rules") is None:
        return []
    theirs = record.inputs
    same = [n for n in mine if n not in ("rules", "probes")]
    alike = theirs["rules"]["rules"] == mine["rules"]["rules"]
    return [theirs] if alike and all(theirs.get(n) == mine[n] for n in same) else []


def _made(
    night: SearchContext,
    version: str,
    tables: dict[str, int],
    measured: recall.Recall,
    nprobe: int,
    base: Base,
) -> StageResult:
    from pyspark.sql import functions as F

    job, section = night.job, night.job.config.neighbors
    vectors = job.record("index").outputs["vectors"]
    found, rows = job.store.read(job.spark, "neighbors", version), tables["neighbors"]
    short_rows = job.store.write(short_lists.find_short_lists(night, found), "short_lists", version)
    written = job.store.read(job.spark, "short_lists", version)
    counts = written.groupBy("reason").agg(F.count("*"), F.sum("neighbors")).collect()
    few = {row[0]: (row[1], row[2]) for row in sorted(counts)}
    with_none = written.where("neighbors = 0").count()
    asked = rows + sum(few.get(reason, (0, 0))[0] for reason in reasons.WITHOUT_VECTOR)
    # Every other item has k.
    pairs = (asked - short_rows) * section.k + sum(had for _, had in few.values())
    chosen = night.centroids is not None and not section.nprobe
    if rules.has_rules(job.config.rules):
        tables = tables | {"candidates": vectors}
    return StageResult(
        tables=tables | {"short_lists": short_rows},
        counts={
            "items_with_neighbors": asked - with_none,
            "pairs": pairs,
            "short_lists": short_rows,
            "short_list_reasons": {reason: count for reason, (count, _) in few.items()},
            "probes": nprobe,
            "groups": night.search.plan.groups,
            **night.search.counts.of_run(night.count, vectors),
        },
        outputs={
            "recall": asdict(measured),
            "asked": asked,
            "pairs": pairs,
            "lists": night.nlist,
            "chosen_probes": nprobe if chosen else None,
            "base": base.record and base.record.fingerprint,
            "why": base.why,
        },
    )


def _reach(night: SearchContext, nprobe: int, version: str) -> dict[str, int]:
    """Write from which lists each is probed, for the nights to come."""
    if night.centroids is None or night.job.record("index").outputs["probes"] < nprobe:
        return {}
    reach = lists.probe_pairs(night.lists, night.nlist, nprobe)
    return {"reach": night.job.store.write(reach, "reach", version)}
