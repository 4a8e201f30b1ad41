"""neighbors: lists -> neighbors and short_lists, and their recall."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.retrieval import recall
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.incremental import Base
from pipeline.stages.index import current_quantiser, lists
from pipeline.stages.neighbors import (
    boosts,
    chosen_lists,
    exposure,
    ground_truth,
    incremental_search,
    pins,
    query_items,
    rules,
    short_lists,
    stored_truth,
    widening,
)
from pipeline.stages.neighbors.earlier_neighbors import find_base, find_earlier
from pipeline.stages.neighbors.nprobe import Choice, choose_nprobe
from pipeline.stages.neighbors.search_context import SearchContext, build_search_context
from pipeline.store import reason_codes, schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.stage_record import StageRecord
from pipeline.terminal.progress import updating_note

NAME = "neighbors"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 7

# If the finished table's recall is below the target all the same, this many times as many lists are
# probed, up to ATTEMPTS searches in all.
NPROBE_FACTOR = 1.5
ATTEMPTS = 3


def inputs(job: Job) -> dict[str, Any]:
    """The lists and the settings that change neighbours or their recall."""
    section, index = job.config.neighbors, job.record("index")
    chosen_lists.check_settings(job)
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
    earlier = find_earlier(context, (NAME, CODE_VERSION), inputs)
    choice = choose_nprobe(context, earlier.record)
    base, changes = find_base(context, earlier, choice.nprobe)
    result = None
    if base.record is not None and changes is not None:
        result = _update(context, choice, (base.record, changes), version)
        if result is None:
            base = incremental.no_base("the earlier number of probes gave too low a recall")
    if result is None:
        result = search_until_target(context, choice, version)
        result.tables.update(_write_probe_pairs(context, result.nprobe, version))
    if stored_truth.is_stored(context):
        result.tables[stored_truth.TABLE] = stored_truth.write(job, choice.truth, version)
    return _finish(context, version, result, choice.truth.sampled.bound, base)


@dataclass(frozen=True)
class SearchResult:
    """What a search has written.

    Attributes:
        tables: the rows of each table.
        measured: the recall of the neighbors table.
        nprobe: how many lists were probed.
        has_incomplete: whether items had to be searched again, some of which may still be short.
    """

    tables: dict[str, int]
    measured: recall.Recall
    nprobe: int
    has_incomplete: bool


def _update(
    context: SearchContext,
    choice: Choice,
    earlier: tuple[StageRecord, incremental_search.ListChanges],
    version: str,
) -> SearchResult | None:
    """Write the neighbors table by what has changed since an earlier run.

    Returns:
        what was written; None, and nothing is written, if its recall is too low.
    """
    store, trial = context.job.store, context.job.store.trial_version(version)
    tables, counts = incremental_search.update_neighbors(context, *earlier, trial)
    has_incomplete = widening.complete_lists(context, trial, choice.nprobe, counts)
    measured = _measure_recall(context, choice.measured, trial)
    if not context.reaches_target(measured) and not context.job.config.neighbors.nprobe:
        for table in tables:
            store.discard_version(table, trial)
        return None
    for table in tables:
        store.rename_version(table, trial, version)
    return SearchResult(tables, measured, choice.nprobe, has_incomplete)


def search_until_target(context: SearchContext, choice: Choice, version: str) -> SearchResult:
    """Write the neighbors table; write it again with more probes if its recall is too low.

    Args:
        context: what the search works with.
        choice: how many lists are probed at first, and what recall is measured with.
        version: of the table.
    """
    job, section, search = context.job, context.job.config.neighbors, context.search
    nprobe = choice.nprobe
    for attempt in range(1, ATTEMPTS + 1):
        probed = context.probed(nprobe)
        candidates = search.find_candidates(context.query_rows(), probed)
        trial = job.store.trial_version(version)
        started, group_count = time.monotonic(), search.plan.group_count * attempt

        def note(started: float = started, group_count: int = group_count) -> str:
            return search.counts.progress_note(group_count, time.monotonic() - started)

        with updating_note(job.line, note):
            merged = search.merge(candidates, probed)
            count = widening.counter(section.k)
            written = job.store.write_counted("neighbors", trial, merged, count=count)
        has_incomplete = widening.complete_lists(context, trial, nprobe, written.sums)
        measured = _measure_recall(context, choice.measured, trial)
        is_last = nprobe == context.nlist or attempt == ATTEMPTS
        if context.reaches_target(measured) or section.nprobe or is_last:
            break
        # Start over: only each query's best candidates were kept, so the search can't be extended.
        job.store.discard_version("neighbors", trial)
        nprobe = min(math.ceil(nprobe * NPROBE_FACTOR), context.nlist)
    job.store.rename_version("neighbors", trial, version)
    return SearchResult({"neighbors": written.rows}, measured, nprobe, has_incomplete)


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
    context: SearchContext, version: str, result: SearchResult, sampled_up_to: int, base: Base
) -> StageResult:
    """Write the short lists; return the stage's tables, counts and outputs."""
    job, section, nprobe = context.job, context.job.config.neighbors, result.nprobe
    tables = result.tables
    vectors, rows = job.record("index").outputs["vectors"], tables["neighbors"]
    short_rows, by_reason, without_neighbors = _write_short_lists(
        context, version, may_be_short=result.has_incomplete
    )
    queries = rows + sum(by_reason.get(reason, (0, 0))[0] for reason in reason_codes.WITHOUT_VECTOR)
    # Every query that is not in short_lists has k neighbours.
    pairs = (queries - short_rows) * section.k + sum(pairs for _, pairs in by_reason.values())
    is_chosen = context.centroids is not None and not section.nprobe
    if rules.has_rules(job.config):
        tables = tables | {"candidates": vectors}
    if job.config.rank.chooses:
        tables = tables | {chosen_lists.TABLE: chosen_lists.write(context, version)}
    if job.config.edits.exists or job.config.rules.deny:
        written, added = pins.write(context, version)
        tables, pairs = tables | written, pairs + added
    if job.config.rank.exposure:
        tables = tables | {exposure.TABLE: vectors}
    return StageResult(
        tables=tables | {"short_lists": short_rows},
        counts={
            "items_with_neighbors": queries - without_neighbors,
            "pairs": pairs,
            "short_lists": short_rows,
            "short_list_reasons": {reason: items for reason, (items, _) in by_reason.items()},
            "rejected_edits": tables.get(pins.REJECTED, 0),
            "probes": nprobe,
            "groups": context.search.plan.group_count,
            **context.search.counts.run_counts(context.query_count, vectors),
        },
        outputs={
            "recall": asdict(result.measured),
            "asked": queries,
            "pairs": pairs,
            "lists": context.nlist,
            "chosen_probes": nprobe if is_chosen else None,
            stored_truth.BOUND: sampled_up_to,
            "base": base.record and base.record.fingerprint,
            "why": base.why,
            **_quantiles(context),
        },
    )


def _quantiles(context: SearchContext) -> dict[str, Any]:
    """What later nights need to rank by the same quantiles; nothing without rank.value."""
    if not context.quantiles:
        return {}
    columns = boosts.columns_of_values(context.job)
    return {"quantiles": dict(context.quantiles), "quantiles_of": columns}


def _write_short_lists(
    context: SearchContext, version: str, *, may_be_short: bool
) -> tuple[int, dict[str, tuple[int, int]], int]:
    """Write the table short_lists.

    Args:
        context: what the search works with.
        version: of the table, and of the neighbors table.
        may_be_short: whether rows of the neighbors table may have fewer than k neighbours.

    Returns:
        its rows; items and pairs of each reason; and how many items have no neighbour.
    """
    store = context.job.store
    short = short_lists.find_short_lists(context, version, may_be_short=may_be_short)
    if short is None:
        return store.write_rows([], "short_lists", version), {}, 0
    rows = Rows(schemas.check(short, "short_lists"), iter)
    written = store.write_counted("short_lists", version, rows, count=short_lists.count)
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
