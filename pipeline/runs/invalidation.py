"""Why a stage has to run: what is not as it was when the published table was made."""

from collections.abc import Iterator
from typing import Any

from pipeline.stages.context import Job, Stage
from pipeline.store import publications

_MOST = 5
# What a stage's inputs call that which is no setting.
_MEANING = {
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
}
# In which section of the config other inputs are set.
_SECTION = {
    "settings": {"train": "model", "neighbors": "neighbors"},
    "training": {"train": "model"},
}


def explain_missing_output(job: Job, stage: Stage) -> str:
    """Why the store has no output of a stage.

    Args:
        job: that has come to the stage.
        stage: whose output is not in the store.
    """
    published = publications.current(job.store)
    if published is None:
        return "nothing is published yet"
    before = job.store.find_record(stage.NAME, published.stages.get(stage.NAME, ""))
    if before is None:
        return "its output is not in the store any more"
    _, inputs = job.fingerprint(stage)
    was, now = dict(_flat(before.inputs)), dict(_flat(inputs))
    # Said once, and shortly: a changed catalogue differs in several ways.
    found: dict[str, None] = {}
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            found[_described(stage.NAME, name, was.get(name), now.get(name))] = None
    if not found:
        return (
            "the published table was made by another release of nitamono, in which this stage's "
            "code version is another"
        )
    said = list(found)
    more = f" and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return "; ".join(said[:_MOST]) + more


def _described(stage: str, name: str, was: object, now: object) -> str:
    first, _, setting = name.partition(".")
    if first in _MEANING:
        return _MEANING[first]
    section = _SECTION.get(first, {}).get(stage, first if setting else stage)
    return f"{section}.{setting or first} is {now!r}, was {was!r}"


def _flat(inputs: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in inputs.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
