"""neighbors: lists -> neighbors and short_lists, and their recall."""

import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
from pipeline.stages.neighbors.earlier_neighbors import find_base
from pipeline.stages.neighbors.nprobe import choose_nprobe
from pipeline.stages.neighbors.search_context import SearchContext, build_search_context
from pipeline.store import reason_codes, schemas
from pipeline.store.arrow_files import Rows
from pipeline.terminal.progress import updating_note

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "neighbors"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 2

# If the finished table's recall is below the target all the same, this many times as many lists are
# probed, up to ATTEMPTS searches in all.
NPROBE_FACTOR = 1.5
ATTEMPTS = 3


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section, index = job.config.neighbors, job.record("index")
    selects_new = section.mode == "new" and not section.where
    baseline = query_items.baseline(job) if selects_new else None
    is_chosen = not section.nprobe and not index.outputs["exact"]
    return {
        "lists": index.fingerprint,
        "items": job.record("ingest").outputs["content"] if section.where else None,
        "settings": section.model_dump(exclude={"worker_mb", "partitions"}),
        "known": baseline and baseline.items,
        "rules": rules.rule_inputs(job),
        "probes": current_quantiser.previous_nprobe(job) if is_chosen else None,
    }


def execute(job: Job, version: str) -> StageResult:
    """Search the neighbours, list the items that are short of them, and measure recall."""
    context = build_search_context(job, version)
    nprobe, sample = choose_nprobe(context)
    base, changes = find_base(context, nprobe, (NAME, CODE_VERSION), inputs)
    if base.record is not None and changes is not None:
        trial = job.store.trial_version(version)
        tables = incremental_search.update_neighbors(context, base.record, changes, trial)
        widening.complete_lists(context, trial, nprobe)
        measured = _measure_recall(context, sample, trial)
        if context.reaches_target(measured) or job.config.neighbors.nprobe:
            for table in tables:
                job.store.rename_version(table, trial, version)
            return _finish(context, version, tables, measured, nprobe, base)
        for table in tables:
            job.store.discard_version(table, trial)
        base = incremental.no_base("the earlier number of probes gave too low a recall")
    rows, measured, nprobe = search_until_target(context, nprobe, sample, version)
    tables = {"neighbors": rows, **_write_probe_pairs(context, nprobe, version)}
    return _finish(context, version, tables, measured, nprobe, base)


def search_until_target(
    context: SearchContext, nprobe: int, sample: ground_truth.Sample, version: str
) -> tuple[int, recall.Recall, int]:
    """Write the neighbors table; write it again with more probes if its recall is too low.

    Args:
        context: what the search works with.
        nprobe: how many lists are probed at first.
        sample: the queries that recall is measured on.
        version: of the table.

    Returns:
        the table's rows, its recall, and how many lists were probed.
    """
    job, section, search = context.job, context.job.config.neighbors, context.search
    for attempt in range(1, ATTEMPTS + 1):
        probed = context.probed(nprobe)
        candidates = search.find_candidates(context.query_rows(), probed)
        trial = job.store.trial_version(version)
        started, group_count = time.monotonic(), search.plan.group_count * attempt

        def note(started: float = started, group_count: int = group_count) -> str:
            return search.counts.progress_note(group_count, time.monotonic() - started)

        def count_incomplete(rows: "pa.Table") -> dict[str, int]:
            return widening.count_incomplete(rows, section.k)

        with updating_note(job.line, note):
            merged = search.merge(candidates, probed)
            written = job.store.write_counted("neighbors", trial, merged, count=count_incomplete)
        if written.sums[widening.INCOMPLETE]:
            widening.complete_lists(context, trial, nprobe)
        measured = _measure_recall(context, sample, trial)
        is_last = nprobe == context.nlist or attempt == ATTEMPTS
        if context.reaches_target(measured) or section.nprobe or is_last:
            break
        # Start over: only each query's best candidates were kept, so the search can't be extended.
        job.store.discard_version("neighbors", trial)
        nprobe = min(math.ceil(nprobe * NPROBE_FACTOR), context.nlist)
    job.store.rename_version("neighbors", trial, version)
    return written.rows, measured, nprobe


def _measure_recall(
    context: SearchContext, sample: ground_truth.Sample, version: str
) -> recall.Recall:
    job = context.job
    job.line.note = "measuring recall"
    neighbors = context.neighbor_rows(version, ("item_id", "neighbors"))
    measured = sample.measure_recall(neighbors, job.config.neighbors.k)
    job.line.note = ""
    return measured


def _finish(
    context: SearchContext,
    version: str,
    tables: dict[str, int],
    measured: recall.Recall,
    nprobe: int,
    base: Base,
) -> StageResult:
    """Write the short lists; return the stage's tables, counts and outputs."""
    job, section = context.job, context.job.config.neighbors
    vectors, rows = job.record("index").outputs["vectors"], tables["neighbors"]
    short_rows, by_reason, without_neighbors = _write_short_lists(context, version)
    queries = rows + sum(by_reason.get(reason, (0, 0))[0] for reason in reason_codes.WITHOUT_VECTOR)
    # Every query that is not in short_lists has k neighbours.
    pairs = (queries - short_rows) * section.k + sum(pairs for _, pairs in by_reason.values())
    is_chosen = context.centroids is not None and not section.nprobe
    if rules.has_rules(job.config.rules):
        tables = tables | {"candidates": vectors}
    return StageResult(
        tables=tables | {"short_lists": short_rows},
        counts={
            "items_with_neighbors": queries - without_neighbors,
            "pairs": pairs,
            "short_lists": short_rows,
            "short_list_reasons": {reason: items for reason, (items, _) in by_reason.items()},
            "probes": nprobe,
            "groups": context.search.plan.group_count,
            **context.search.counts.run_counts(context.query_count, vectors),
        },
        outputs={
            "recall": asdict(measured),
            "asked": queries,
            "pairs": pairs,
            "lists": context.nlist,
            "chosen_probes": nprobe if is_chosen else None,
            "base": base.record and base.record.fingerprint,
            "why": base.why,
        },
    )


def _write_short_lists(
    context: SearchContext, version: str
) -> tuple[int, dict[str, tuple[int, int]], int]:
    """Write the table short_lists.

    Returns:
        its rows; items and pairs of each reason; and how many items have no neighbour.
    """
    store = context.job.store
    rows = schemas.check(short_lists.find_short_lists(context, version), "short_lists")
    written = store.write_counted("short_lists", version, Rows(rows, iter), count=short_lists.count)
    sums = written.sums
    reasons = [reason for reason in sorted(reason_codes.SHORT_LISTS) if sums[f"{reason} items"]]
    by_reason = {reason: (sums[f"{reason} items"], sums[f"{reason} pairs"]) for reason in reasons}
    return written.rows, by_reason, sums["without neighbors"]


def _write_probe_pairs(context: SearchContext, nprobe: int, version: str) -> dict[str, int]:
    """Write the table `reach`, from which lists each list is probed, for later runs."""
    job = context.job
    if context.centroids is None or job.record("index").outputs["probes"] < nprobe:
        return {}
    version_of_lists, columns = job.record("index").fingerprint, ("list", "probes")
    rows = job.store.scan_lists(job.spark, "lists", version_of_lists, context.nlist, columns)
    pairs = lists.probe_pairs(rows, context.nlist, nprobe)
    return {"reach": job.store.write(pairs, "reach", version)}
