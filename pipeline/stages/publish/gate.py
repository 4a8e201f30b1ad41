"""The gate: what speaks against publishing a table. It judges; nothing here is in the table.

It is asked at the end of every run that publishes, also of one that found its table made.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.stages.context import Job
from pipeline.stages.publish import comparison
from pipeline.store import publications


@dataclass(frozen=True)
class Measurements:
    """What the gate looks at.

    Attributes:
        rows: of the table.
        rows_wanted: as many as were found and carried over.
        asked: items that neighbours were looked for.
        without: those of them that have none.
        against: the version that is published; None if there is none, or it is this one.
        change: how this one differs from it.
        new_model: whether the two were made with different models.
    """

    rows: int
    rows_wanted: int
    asked: int
    without: int
    against: str | None = None
    change: comparison.Change | None = None
    new_model: bool = False

    def counts(self) -> dict[str, Any]:
        """For run.json."""
        counts: dict[str, Any] = {
            "items_asked": self.asked,
            "items_without_neighbors": self.without,
            "against": self.against,
        }
        if self.change is not None:
            counts |= {**asdict(self.change), "churn": round(self.change.churn, 4)}
            counts["new_model"] = self.new_model
        return counts


def measure(job: Job) -> Measurements:
    """Look at the table of this run, and compare it with the published one."""
    import pyarrow.dataset as ds

    record, found = job.record("publish"), job.record("neighbors")
    short = job.store.dataset("short_lists", found.fingerprint)
    without = short.count_rows(filter=ds.field("neighbors") == 0)
    measured = Measurements(
        rows=record.tables["similar_items"],
        rows_wanted=found.outputs["pairs"] + record.counts["carried_rows"],
        asked=found.outputs["asked"],
        without=without,
    )
    against = _against(job)
    if against is None:
        return measured
    before, after = (
        job.store.read(job.spark, "similar_items", version)
        for version in (against.version, record.fingerprint)
    )
    return replace(
        measured,
        against=against.version,
        change=comparison.compare(before, after, job.config.neighbors.k),
        new_model=_model(job, against) not in (None, job.record("embed").inputs["model"]),
    )


def needs_spark(job: Job) -> bool:
    """Whether there is a published version to compare this run's table with."""
    return _against(job) is not None


def _against(job: Job) -> publications.Publication | None:
    published = publications.current(job.store)
    if published is None or published.version == job.record("publish").fingerprint:
        return None
    there = job.store.has_table("similar_items", published.version)
    return published if there else None


def _model(job: Job, published: publications.Publication) -> str | None:
    """The sha256 of the model that a version was made with, where that is still known."""
    record = job.store.find_record("embed", published.stages.get("embed", ""))
    return str(record.inputs["model"]) if record else None


def problems(job: Job, measured: Measurements, *, retrained: bool) -> list[str]:
    """What speaks against publishing.

    Args:
        job: whose table and limits.
        measured: what was found.
        retrained: whether a new model was asked for: then lists may change as they will.
    """
    found = []
    if measured.rows != measured.rows_wanted:
        found.append(f"{measured.rows} rows, not {measured.rows_wanted}")
    return [*found, *_recall(job), *_empty(job, measured), *_against_last(job, measured, retrained)]


def _recall(job: Job) -> Iterator[str]:
    least = job.config.publish.min_recall
    if least < 0:
        least = job.config.neighbors.target_recall
    measured = job.record("neighbors").outputs["recall"]
    if measured["queries"] and measured["value"] < least:
        yield (
            f"recall is {measured['value']:.4f}, at least {least} is wanted: "
            "raise neighbors.nprobe if it is set, or index.nlist, or lower neighbors.target_recall"
        )


def _empty(job: Job, measured: Measurements) -> Iterator[str]:
    most = job.config.publish.max_without
    # In a catalogue of one item nothing is wrong with its having no neighbour.
    several = job.record("index").outputs["vectors"] != 1
    if several and measured.without > most * measured.asked:
        yield (
            f"{measured.without:,} of {measured.asked:,} items have no neighbour, "
            f"at most a share of {most} may (publish.max_without): look at table short_lists "
            "for the reasons, and at [catalogue] columns and encoding"
        )


def _against_last(job: Job, measured: Measurements, retrained: bool) -> Iterator[str]:
    change, limits = measured.change, job.config.publish
    if change is None:
        return
    last = f"the published version {measured.against}"
    for what, now, before, name in (
        ("rows", change.rows, change.rows_before, "min_rows"),
        ("items with neighbours", change.items, change.items_before, "min_coverage"),
    ):
        least = getattr(limits, name)
        if now < least * before:
            yield (
                f"{now:,} {what}, {last} has {before:,}: at least a share of {least} is wanted; "
                f"if the catalogue is meant to be so much smaller, --set publish.{name}=0"
            )
    if not retrained and change.churn > limits.max_churn:
        sample = f" (one in {change.one_in})" if change.one_in > 1 else ""
        why = ", which was made with another model" if measured.new_model else ""
        yield (
            f"{change.churn:.0%} of the neighbours of {change.common:,} items{sample} were "
            f"replaced since {last}{why}, at most {limits.max_churn:.0%} may be: "
            "look at it with nitamono diff; if that is meant, --set publish.max_churn=1"
        )
