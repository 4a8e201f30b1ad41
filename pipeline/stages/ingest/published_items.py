"""Today's items beside those of the published night."""

from typing import Any

from pipeline import catalogue
from pipeline.stages import incremental
from pipeline.stages.context import Job
from pipeline.stages.ingest import expectations
from pipeline.stages.ingest.expectations import Before, Expectation
from pipeline.store.reason_codes import QUARANTINE
from pipeline.store.stage_record import StageRecord

# The key in ingest's counts.
SINCE_PUBLISHED = "since_published"
_NO_CHANGES = dict.fromkeys((incremental.ADDED, incremental.CHANGED, incremental.REMOVED), 0)


def _published(job: Job) -> StageRecord | None:
    """The record of the published night's items; None if there are none any more."""
    version = job.state.version("items")
    return None if version is None else job.store.find_record("ingest", version)


def counts(job: Job, version: str, content: str) -> dict[str, Any]:
    """What a new items table has in its counts: the changes since the published night.

    They are counted where a limit asks for them. tokenize needs the same comparison.

    Args:
        job: the run.
        version: of today's items.
        content: what tells their content from another.
    """
    record = _published(job)
    if record is None or not job.config.expect.compares_items:
        return {}
    changes = _NO_CHANGES
    if record.outputs["content"] != content:
        if not incremental.is_whole(job, record):
            return {}
        _, changes = incremental.item_changes(job, version, record.fingerprint)
    return {SINCE_PUBLISHED: {"items_version": record.fingerprint, **changes}}


def needs_spark(job: Job) -> bool:
    """Whether items have to be compared anew: ingest did it with another published night."""
    record, today = _published(job), job.record("ingest")
    if record is None or not job.config.expect.compares_items:
        return False
    stored = today.counts.get(SINCE_PUBLISHED, {})
    is_same = record.outputs["content"] == today.outputs["content"]
    return not is_same and stored.get("items_version") != record.fingerprint


def check(job: Job) -> list[Expectation]:
    """What is expected of the items of this run, and what they are."""
    today, limits = job.record("ingest"), job.config.expect
    return expectations.of_catalogue(
        limits,
        today.counts,
        _before(job, today),
        min_rows=job.config.publish.min_rows,
        advice=_quarantine_advice(job, today),
    )


def _before(job: Job, today: StageRecord) -> Before | None:
    record = _published(job)
    if record is None:
        return None
    if needs_spark(job):
        found = counts(job, today.version("items"), today.outputs["content"])
    else:
        is_same = record.outputs["content"] == today.outputs["content"]
        found = {SINCE_PUBLISHED: _NO_CHANGES} if is_same else today.counts
    return Before(record.tables["items"], found.get(SINCE_PUBLISHED))


def _quarantine_advice(job: Job, today: StageRecord) -> str:
    """What to say of the rows in quarantine; empty if there are none."""
    reasons = today.counts["quarantine_reasons"]
    if not reasons:
        return ""
    commonest = max(reasons, key=lambda reason: (reasons[reason], reason))
    table = job.store.table_path("quarantine", today.version("quarantine"))
    rounded = expectations.rounded_ids(today.counts)
    return (
        f"the commonest reason is {commonest} ({QUARANTINE[commonest].en}), "
        f"rows: {reasons[commonest]:,}; {f'{rounded}; ' if rounded else ''}"
        f"look at the rows in {table}"
    )


def message(job: Job, failed: list[Expectation]) -> str:
    """The message of a catalogue that is not as expected."""
    return expectations.message(failed, catalogue.source_of(job.config).label)
