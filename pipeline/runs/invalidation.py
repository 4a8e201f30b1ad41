"""Invalidation: which stages have to run again, and why, compared with the published version."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.sections import RulesSection
from pipeline.runs.reuse import Reuse
from pipeline.stages.context import Job, Stage
from pipeline.stages.train import stage as train

_MAX_REASONS = 5
# What a change of an input that is no setting means.
_MEANINGS = {
    "files": "the catalogue's files have changed",
    "text": "the text rules have changed",
    "given": "the model at model.path is another",
    "items": "the catalogue has changed",
    "tokens": "the tokens have changed",
    "model": "the model is another",
    "full": "--full",
    "embeddings": "the embeddings have changed",
    "quantiser": "the quantiser is another",
    "lists": "the lists have changed",
    "neighbors": "the neighbours have changed",
    "known": "another version is published",
    "baseline": "another version is published",
    "probes": "the number of lists to probe has changed",
    "edits": "the edits in force have changed",
    "quantiles": "the quantiles of rank.value have changed",
    "deny": "the file of rules.deny has changed",
}
# The config section of inputs that are not named like their section: input -> stage -> section.
_SECTIONS = {
    "settings": {"train": "model", "neighbors": "neighbors"},
    "training": {"train": "model"},
}


def plan_stages(
    job: Job,
    reuse: Reuse,
    stages: Sequence[Stage],
    *,
    retrain: bool = False,
    after: str | None = None,
) -> tuple[list[tuple[str, str]], str | None]:
    """What a run would do: each stage, and whether it would be reused or run, and why.

    Args:
        job: a job that has the records of the stages before.
        reuse: decides which outputs are reused.
        stages: the stages, in order.
        retrain: whether a new model is trained.
        after: a stage before them that would run; None if none would.

    Returns:
        the plan, and the first stage that would run.
    """
    plan = []
    for stage in stages:
        fresh = retrain and stage.NAME == train.NAME
        record = None if after else reuse.reusable_record(stage, fresh=fresh)
        if record is not None:
            job.set_record(record)
            plan.append((stage.NAME, f"reuse {record.fingerprint}, made by {record.run_id}"))
            continue
        if after is not None:
            why = f"after {after}"
        else:
            why = "--retrain" if fresh else _explain_missing_output(job, stage)
        after = after or stage.NAME
        plan.append((stage.NAME, f"run: {why}"))
    return plan, after


def _explain_missing_output(job: Job, stage: Stage) -> str:
    """Why the store has no output of a stage.

    Args:
        job: a job that has the records of the stages before.
        stage: the stage whose output is not in the store.
    """
    published = job.state.published
    if published is None:
        return "nothing is published yet"
    if stage.NAME not in published.stages:
        return "it is not published yet"
    earlier = job.store.find_record(stage.NAME, published.stages.get(stage.NAME, ""))
    if earlier is None:
        return "its output is not in the store any more"
    _, inputs = job.fingerprint(stage)
    before, now = (dict(_flatten(each)) for each in _with_rules(earlier.inputs, inputs))
    # A changed catalogue differs in several inputs; its reason is given once.
    reasons: dict[str, None] = {}
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            reasons[_reason(stage.NAME, name, before.get(name), now.get(name))] = None
    if not reasons:
        return "another release of nitamono made the published table"
    more = f" and {len(reasons) - _MAX_REASONS} more" if len(reasons) > _MAX_REASONS else ""
    return "; ".join(list(reasons)[:_MAX_REASONS]) + more


def _reason(stage: str, name: str, before: object, now: object) -> str:
    first, _, setting = name.partition(".")
    if first in _MEANINGS:
        return _MEANINGS[first]
    if first == "rules":
        kind, _, setting = setting.partition(".")
        if kind in _MEANINGS:
            return _MEANINGS[kind]
        first = kind
    section = _SECTIONS.get(first, {}).get(stage, first if setting else stage)
    return f"{section}.{setting or first} is {now!r}, was {before!r}"


def _with_rules(*inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs; where one of them has no rules, with the settings of [rules] alone."""
    if all(each.get("rules") for each in inputs):
        return list(inputs)
    defaults = {"rules": RulesSection().model_dump()}
    return [
        {**each, "rules": {"rules": (each["rules"] or defaults)["rules"]}}
        if "rules" in each
        else each
        for each in inputs
    ]


def _flatten(inputs: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in inputs.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
