"""The base of the neighbours: the earlier ones that this run can build on."""

from collections.abc import Callable
from typing import Any

from pipeline.stages import incremental
from pipeline.stages.context import Job
from pipeline.stages.incremental import Base
from pipeline.stages.index import current_quantiser
from pipeline.stages.neighbors import incremental_search
from pipeline.stages.neighbors.edit_state import Edit, State
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.store.stage_record import StageRecord

# Gives a stage's inputs in a run.
StageInputs = Callable[[Job], dict[str, Any]]


def find_earlier(
    context: SearchContext, stage: incremental.Stage, stage_inputs: StageInputs
) -> Base:
    """The neighbours of the lists that today's are built on, made with the same settings and rules.

    Args:
        context: what the search works with.
        stage: the stage's name and code version.
        stage_inputs: gives the stage's inputs.

    Returns:
        the base, which has no record if there are none.
    """
    job = context.job
    if context.query_items is not None or job.config.neighbors.mode != "all":
        return incremental.no_base("not every item asks")
    base_inputs = stage_inputs(job) | {"lists": job.record("index").outputs["base"]}
    # The nprobe that the earlier run may have had in its inputs.
    nprobes = (base_inputs["probes"], None, *current_quantiser.past_nprobes(job))
    variants = [base_inputs | {"probes": n} for n in nprobes]
    if base_inputs["rules"] is not None:
        variants = _published_inputs(job, stage[0], base_inputs)
    return incremental.stage_base(job, stage, "index", *variants)


def find_base(
    context: SearchContext, earlier: Base, nprobe: int
) -> tuple[Base, incremental_search.ListChanges | None]:
    """The earlier neighbours, if they can be built on, and what has changed since.

    Args:
        context: what the search works with.
        earlier: what `find_earlier` has found.
        nprobe: how many lists are probed now.

    Returns:
        the base, which has no record if everything has to be searched; and the changes, or None.
    """
    if earlier.record is None:
        return earlier, None
    why = _why_not(context, earlier.record, nprobe)
    if why:
        return incremental.no_base(why), None
    vectors = context.job.record("index").outputs["vectors"]
    changes = incremental_search.changes_since(context, earlier.record)
    if changes.count > incremental_search.MAX_MOVED_SHARE * vectors:
        why = f"{changes.count:,} of {vectors:,} items have moved"
        return incremental.no_base(why), None
    return earlier, changes


def _why_not(context: SearchContext, earlier: StageRecord, nprobe: int) -> str:
    """Why earlier neighbours can't be built on with today's lists and nprobe; empty if they can."""
    index, is_exact = context.job.record("index"), context.centroids is None
    if not is_exact and "reach" not in earlier.tables:
        return "the earlier lists did not hold enough probes"
    if not is_exact and nprobe != earlier.counts["probes"]:
        return f"{nprobe} lists are probed now"
    if not is_exact and index.outputs["probes"] < nprobe:
        return "the lists do not hold enough probes"
    if is_exact and context.nlist != earlier.outputs["lists"]:
        return "the number of lists has changed"
    return ""


def _published_inputs(job: Job, stage: str, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of the published neighbours, if they have the same rules and settings.

    With rules, the inputs also name the items and the denied pairs, which may have changed.

    Returns:
        one or none.
    """
    published = job.state.published
    record = job.store.find_record(stage, published.stages.get(stage, "")) if published else None
    if record is None or record.inputs.get("rules") is None:
        return []
    before, today = record.inputs["rules"], inputs["rules"]
    if "edits" not in before or _numbered(before) != _numbered(today):
        # The numbers of the edits by conditions are in every item's traits.
        return []
    # The date that ages are counted to is a part of each item's traits.
    is_same = all(_undated(before[name]) == _undated(today[name]) for name in ("rules", "rank"))
    is_same = is_same and all(
        record.inputs.get(name) == inputs[name]
        for name in inputs
        if name not in ("rules", "probes")
    )
    return [record.inputs] if is_same else []


def _numbered(inputs: dict[str, Any]) -> list[Edit]:
    return State.from_inputs(inputs["edits"]).numbered


def _undated(section: dict[str, Any] | None) -> dict[str, Any]:
    """The settings of [rules] or [rank] without the date that ages are counted to."""
    settings = dict(section or {})
    if settings.get("fresh"):
        settings["fresh"] = settings["fresh"] | {"date": ""}
    return settings
