"""Which items a run wants neighbours for, and where the lists of the other items come from."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import DamagedError
from pipeline.stages.context import Job
from pipeline.stages.neighbors import rules

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Baseline:
    """Versions of two published tables that belong together."""

    items: str
    similar_items: str


def baseline(job: Job) -> Baseline | None:
    """The published version that a run for some items builds on; None if there is none.

    If the published version was made of this very catalogue, the answer is the version that it was
    built on: so a repeated run has the same baseline, and reuses what it has made.
    """
    table, items = job.state.version("similar_items"), job.state.version("items")
    if table is None or items is None:
        return None
    record = job.store.find_record("publish", table)
    if record and record.inputs.get("items") == job.record("ingest").outputs["content"]:
        built_on: dict[str, str] | None = record.inputs["baseline"]
        return Baseline(**built_on) if built_on else None
    return Baseline(items, table)


def publish_inputs(job: Job) -> dict[str, Any]:
    """What publishing depends on besides the neighbours, for its record."""
    section = job.config.neighbors
    if section.mode == "all" and not section.where:
        return {}
    built_on = baseline(job)
    return {
        "items": job.record("ingest").outputs["content"],
        "baseline": built_on and asdict(built_on),
    }


def read_baseline(job: Job, table: str, version: str) -> "DataFrame":
    """A table of the version that a run for some items builds on.

    Raises:
        DamagedError: it is damaged; other stages' tables are made again, but not this one, which
            another catalogue was read for.
    """
    try:
        return job.store.read(job.spark, table, version)
    except DamagedError as error:
        remedy = (
            "neighbors.mode and neighbors.where build on this published version, which no run can "
            "make again: publish another with nitamono rollback, or run once for all items, with "
            "--set neighbors.mode=all --set neighbors.where= --publish"
        )
        raise DamagedError(error.what, remedy) from error


def select_query_items(job: Job) -> "DataFrame | None":
    """The items that neighbours are wanted for; None for all.

    With neighbors.where, the items that match it; with mode = "new", those that the catalogue of
    the published version lacks.
    """
    section = job.config.neighbors
    if section.where:
        return rules.filter_items(job, section.where)
    built_on = baseline(job) if section.mode == "new" else None
    if built_on is None:
        return None
    items = job.read("items", "ingest")
    published = read_baseline(job, "items", built_on.items).select("item_id")
    return items.join(published, "item_id", how="left_anti")
