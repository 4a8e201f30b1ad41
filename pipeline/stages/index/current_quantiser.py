"""The current quantiser: trained once and used by many runs, until its lists no longer fit.

It is *current* for one embedding space and one set of index settings. Its record in the store has
the fields of `CurrentQuantiser`; run.json and the fingerprints of stages refer to them.

Many answers here depend on what earlier runs have found out. A rerun on the same embeddings must
get the same answers as the run before it, or its fingerprints would differ and nothing would be
reused. So the record also keeps the answers that were given for the embeddings it was last changed
for, and those are given again.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.config.sections import RulesSection
from pipeline.retrieval import quantiser
from pipeline.stages.context import Job
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

# A new quantiser is trained if the imbalance of its lists, the nprobe for the target recall, or
# the number of lists that the catalogue should have has grown by more than this factor (the number
# of lists: or has shrunk by it).
DRIFT = 2.0
# Lists with an imbalance up to this are never called out of balance.
ALWAYS_BALANCED = 4.0
# How many of its nearest lists are stored for each item, at least, while nprobe is not known.
DEFAULT_PROBES_PER_ITEM = 8


@dataclass(frozen=True)
class CurrentQuantiser:
    """The record of a current quantiser. The names of the fields are stored.

    Attributes:
        version: of the index that it was trained for, which names its file.
        embeddings: the fingerprint of the embeddings that it was trained on.
        before: the version of the quantiser that was current when that index was requested, or
            None.
        lists: number of lists.
        imbalance: at its training: the longest list over the mean.
        probes: nprobe for each target (`_target`): `first`, the first that was chosen; `now`, the
            last; `embeddings`, the fingerprint of those that `now` was chosen for; `before`, what
            `now` was before that, or None.
        drifted: the fingerprint of the embeddings for which nprobe had grown too far, or None.
        width_before: how many lists were stored for each item when that index was requested.
    """

    version: str
    embeddings: str
    before: str | None
    lists: int
    imbalance: float
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    drifted: str | None = None
    width_before: int = DEFAULT_PROBES_PER_ITEM


def load(job: Job) -> CurrentQuantiser | None:
    """The store's quantiser for these embeddings' space and these index settings.

    As it was at the run's start, with what this run has changed since.
    """
    record = job.state.quantisers.get(_key(job))
    return None if record is None else CurrentQuantiser(**record)


def save(job: Job, current: CurrentQuantiser) -> None:
    """Let later runs use this quantiser; a run that does not publish changes nothing."""
    if job.publishing:
        job.state.quantisers[_key(job)] = asdict(current)
        job.store.quantisers.set_current(_key(job), asdict(current))


def adopt(job: Job, record: StageRecord) -> None:
    """Make the quantiser that was trained for an index the current one.

    Nothing changes if the index uses an earlier quantiser, or if its own is current already.

    Args:
        job: the run that uses the index.
        record: of the index, made by this run or an earlier one.
    """
    version, current = record.fingerprint, load(job)
    if record.outputs["quantiser"] != version or (current and current.version == version):
        return
    adopted = CurrentQuantiser(
        version=version,
        embeddings=record.inputs["embeddings"],
        before=record.inputs["quantiser"],
        lists=record.outputs["lists"],
        imbalance=record.counts["imbalance"],
        width_before=record.inputs["probes"],
    )
    save(job, adopted)


def usable_version(job: Job) -> str | None:
    """The version of the quantiser that this run uses; None if it has to train one.

    If the current quantiser was trained on exactly these embeddings, the answer that was given
    then is repeated, so that a rerun has the same fingerprint.
    """
    current = load(job)
    if current is None:
        return None
    embeddings = job.record("embed").fingerprint
    if current.embeddings == embeddings:
        return current.before
    section = job.config.index
    vectors = job.record("embed").outputs["vectors"]
    nlist = section.nlist or quantiser.list_count(vectors, section.sample_items)
    fits = current.lists / DRIFT <= nlist <= current.lists * DRIFT
    has_not_drifted = current.drifted in (None, embeddings)
    if not (fits and has_not_drifted):
        return None
    if damage := job.store.quantisers.find_damage(current.version):
        job.store.say(f"{damage}; another quantiser is trained")
        return None
    return current.version


def is_unbalanced(current: CurrentQuantiser, imbalance: float) -> bool:
    """Whether the lists' imbalance (the longest over the mean) has grown too far."""
    return imbalance > max(DRIFT * current.imbalance, ALWAYS_BALANCED)


def record_nprobe(job: Job, record: StageRecord) -> None:
    """Record the nprobe that the target recall needs now; if it has grown too far, that is drift.

    Args:
        job: the run that uses the neighbours, and whose settings name the target.
        record: of the neighbours, made by this run or an earlier one.
    """
    current, nprobe = load(job), record.outputs["chosen_probes"]
    if current is None or nprobe is None:
        return
    entry = current.probes.get(_target(job), {})
    # If neighbours of an earlier run are used again, later runs may have recorded more since.
    is_reused = entry and record.run_id != job.run_id
    if job.record("index").outputs["quantiser"] != current.version or is_reused:
        return
    if entry.get("now") == nprobe:
        return
    embeddings, first = job.record("embed").fingerprint, entry.get("first", nprobe)
    updated = {
        "first": first,
        "now": nprobe,
        "before": entry.get("now"),
        "embeddings": embeddings,
    }
    drifted = embeddings if nprobe > DRIFT * first else current.drifted
    save(job, replace(current, probes=current.probes | {_target(job): updated}, drifted=drifted))


def previous_nprobe(job: Job) -> int | None:
    """The nprobe that earlier runs have chosen for the target; None if this run has to choose it.

    If it was chosen for exactly these embeddings, the answer is the one before that, as it was
    then.
    """
    current = load(job)
    entry = current.probes.get(_target(job)) if current else None
    if current is None or entry is None or usable_version(job) != current.version:
        return None
    is_same = entry["embeddings"] == job.record("embed").fingerprint
    nprobe: int | None = entry["before" if is_same else "now"]
    return nprobe


def past_nprobes(job: Job) -> list[int | None]:
    """All answers that `previous_nprobe` may have given with this quantiser."""
    current = load(job)
    entry = current.probes.get(_target(job)) if current else None
    return [entry["first"], entry["before"], entry["now"]] if entry else []


def probes_per_item(job: Job) -> int:
    """How many of its nearest lists are stored for each item: at least the nprobe of any target."""
    current, embeddings = load(job), job.record("embed").fingerprint
    if current is not None and current.embeddings == embeddings:
        return current.width_before
    nprobes = [
        entry["before" if entry["embeddings"] == embeddings else "now"] or 0
        for entry in (current.probes.values() if current else ())
    ]
    return max([DEFAULT_PROBES_PER_ITEM, *nprobes])


def past_probes_per_item(job: Job) -> set[int]:
    """All answers that `probes_per_item` may have given with this quantiser."""
    current = load(job)
    if current is None:
        return {DEFAULT_PROBES_PER_ITEM}
    nprobes = (
        entry[name] or 0 for entry in current.probes.values() for name in ("first", "before", "now")
    )
    larger = (nprobe for nprobe in nprobes if nprobe > DEFAULT_PROBES_PER_ITEM)
    return {DEFAULT_PROBES_PER_ITEM, current.width_before, *larger}


def _target(job: Job) -> str:
    """What nprobe is chosen for: the target recall, k, and the rules and boosts of near items."""
    section, rules, rank = job.config.neighbors, job.config.rules, job.config.rank
    under = f" under {fingerprint(rules.model_dump())}" if rules != RulesSection() else ""
    if rank.exists:
        # What is counted from another date is ranked about alike.
        settings = rank.model_dump(exclude={"fresh": {"date"}})
        under = f"{under} ranked by {fingerprint(settings)}"
    return f"{section.target_recall} of {section.k}{under}"


def _key(job: Job) -> str:
    parts: dict[str, Any] = {
        "space": job.record("embed").outputs["space"],
        "index": job.config.index.model_dump(),
    }
    return fingerprint(parts)
