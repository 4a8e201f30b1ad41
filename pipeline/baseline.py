"""What a run that only looks at some items builds on: the published version before it."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.job import Job


@dataclass(frozen=True)
class Baseline:
    """Versions of two published tables that belong together."""

    items: str
    similar_items: str


def of(job: Job) -> Baseline | None:
    """The published version; or where that was made of this catalogue too, what it was built on.

    A run that is repeated is so given the same baseline, and finds its work done.
    """
    table, items = job.store.latest("similar_items"), job.store.latest("items")
    if table is None or items is None:
        return None
    record = job.store.find("publish", table["version"])
    if record and record.inputs.get("items") == job.record("ingest").outputs["content"]:
        built_on: dict[str, str] | None = record.inputs["baseline"]
        return Baseline(**built_on) if built_on else None
    return Baseline(items["version"], table["version"])


def as_input(job: Job) -> dict[str, Any]:
    """What publishing depends on besides the neighbours, for its record."""
    section = job.config.neighbors
    if section.mode == "all" and not section.where:
        return {}
    built_on = of(job)
    return {
        "items": job.record("ingest").outputs["content"],
        "baseline": built_on and asdict(built_on),
    }
