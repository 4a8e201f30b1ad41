"""The gate: it decides whether a table is published, and says why not.

It changes nothing in the table. Every run that publishes passes it at its end, also a run that
reuses a table of an earlier one.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.stages.context import Job
from pipeline.stages.publish import comparison, fallback, sample_lists
from pipeline.store import publications


@dataclass(frozen=True)
class Measurements:
    """What the gate decides by.

    Attributes:
        rows: rows of the table.
        expected_rows: rows that were found, filled in and carried over.
        queries: items that neighbours were searched for.
        without_neighbors: queries that have none.
        published: the version that is published; None if there is none, or if it is this one.
        change: how this version differs from it.
        new_model: whether the two were made with different models.
    """

    rows: int
    expected_rows: int
    queries: int
    without_neighbors: int
    published: str | None = None
    change: comparison.Change | None = None
    new_model: bool = False

    def counts(self) -> dict[str, Any]:
        """The measurements as run.json has them."""
        counts: dict[str, Any] = {
            "items_asked": self.queries,
            "items_without_neighbors": self.without_neighbors,
            "against": self.published,
        }
        if self.change is not None:
            counts |= {**asdict(self.change), "churn": round(self.change.churn, 4)}
            counts["new_model"] = self.new_model
        return counts


def measure(job: Job) -> Measurements:
    """Measure the table of this run, and compare it with the published one."""
    import pyarrow.dataset as ds

    record, neighbors = job.record("publish"), job.record("neighbors")
    short_lists = job.store.dataset("short_lists", neighbors.fingerprint)
    measured = Measurements(
        rows=record.tables["similar_items"],
        expected_rows=neighbors.outputs["pairs"]
        + record.counts["carried_rows"]
        + record.counts.get(fallback.FILLED_ROWS, 0),
        queries=neighbors.outputs["asked"],
        without_neighbors=short_lists.count_rows(filter=ds.field("neighbors") == 0),
    )
    published = _published(job)
    if published is None:
        return measured
    return replace(
        measured,
        published=published.version,
        change=_compare(job, published.version, record.fingerprint),
        new_model=_model(job, published) not in (None, job.record("embed").inputs["model"]),
    )


def _compare(job: Job, before: str, after: str) -> comparison.Change:
    """How much of the top k changed between two versions."""
    k = job.config.neighbors.k
    samples = _samples(job, before, after)
    if samples is not None:
        return comparison.compare_samples(*samples, k)
    earlier, later = (
        job.store.read(job.spark, "similar_items", version) for version in (before, after)
    )
    return comparison.compare(earlier, later, k)


def _samples(
    job: Job, before: str, after: str
) -> tuple[comparison.SampleLists, comparison.SampleLists] | None:
    """The samples of two versions, if both were written with one; older releases wrote none."""
    earlier, later = (sample_lists.find(job, version) for version in (before, after))
    return None if earlier is None or later is None else (earlier, later)


def needs_spark(job: Job) -> bool:
    """Whether whole tables are compared: this run's and the published version's."""
    published = _published(job)
    if published is None:
        return False
    return _samples(job, published.version, job.record("publish").fingerprint) is None


def _published(job: Job) -> publications.Publication | None:
    """The published version, if it is another than this run's and can be compared with."""
    published = job.state.published
    if published is None or published.version == job.record("publish").fingerprint:
        return None
    if not job.store.has_table("similar_items", published.version):
        return None
    if sample_lists.find(job, published.version) is not None:
        return published
    damage = job.store.find_table_damage("similar_items", published.version, lambda: job.spark)
    if damage:
        job.store.say(f"{damage}. How many neighbours are replaced is not measured")
    return None if damage else published


def _model(job: Job, published: publications.Publication) -> str | None:
    """The sha256 of the model that a version was made with; None if its record is gone."""
    record = job.store.find_record("embed", published.stages.get("embed", ""))
    return str(record.inputs["model"]) if record else None


def problems(job: Job, measured: Measurements, *, retrained: bool) -> list[str]:
    """The reasons to hold the table back, each with what to do; none if it may be published.

    Args:
        job: the run, with its table and limits.
        measured: of its table.
        retrained: whether the run was told to train a new model: then any churn is allowed.
    """
    return [
        *_row_problems(measured),
        *_recall_problems(job),
        *_coverage_problems(job, measured),
        *_change_problems(job, measured, retrained=retrained),
    ]


def _row_problems(measured: Measurements) -> Iterator[str]:
    if measured.rows != measured.expected_rows:
        yield f"{measured.rows} rows, not {measured.expected_rows}"


def _recall_problems(job: Job) -> Iterator[str]:
    min_recall = job.config.publish.min_recall
    if min_recall < 0:
        min_recall = job.config.neighbors.target_recall
    measured = job.record("neighbors").outputs["recall"]
    if measured["queries"] and measured["value"] < min_recall:
        yield (
            f"recall is {measured['value']:.4f}, at least {min_recall} is wanted: "
            "raise neighbors.nprobe if it is set, or index.nlist, or lower neighbors.target_recall"
        )


def _coverage_problems(job: Job, measured: Measurements) -> Iterator[str]:
    max_share = job.config.publish.max_without
    # The only item of a catalogue can have no neighbour.
    has_others = job.record("index").outputs["vectors"] != 1
    if has_others and measured.without_neighbors > max_share * measured.queries:
        yield (
            f"{measured.without_neighbors:,} of {measured.queries:,} items have no neighbour, "
            f"at most a share of {max_share} may (publish.max_without): look at table short_lists "
            "for the reasons, and at [catalogue] columns and encoding"
        )


def _change_problems(job: Job, measured: Measurements, *, retrained: bool) -> Iterator[str]:
    change, limits = measured.change, job.config.publish
    if change is None:
        return
    published = f"the published version {measured.published}"
    for counted, now, before, setting in (
        ("rows", change.rows, change.rows_before, "min_rows"),
        ("items with neighbours", change.items, change.items_before, "min_coverage"),
    ):
        min_share = getattr(limits, setting)
        if now < min_share * before:
            yield (
                f"{now:,} {counted}, {published} has {before:,}: "
                f"at least a share of {min_share} is wanted; "
                f"if the catalogue is meant to be so much smaller, --set publish.{setting}=0"
            )
    if not retrained and change.churn > limits.max_churn:
        sample = f" (one in {change.one_in})" if change.one_in > 1 else ""
        why = ", which was made with another model" if measured.new_model else ""
        yield (
            f"{change.churn:.0%} of the neighbours of {change.common:,} items{sample} were "
            f"replaced since {published}{why}, at most {limits.max_churn:.0%} may be: "
            "look at it with nitamono diff; if that is meant, --set publish.max_churn=1"
        )
