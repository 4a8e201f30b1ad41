"""The quantiser that lasts: trained once, used night after night, until it has drifted too far.

Its record in the store holds
    version     of the index that it was trained for, which names its file
    embeddings  the fingerprint of the embeddings that it was trained on
    before      the version of the quantiser in use when that index was asked for, or null
    width_before
                how many lists items were given when that index was asked for
    lists, imbalance
                what it was at its training: number of lists; longest list over the mean
    probes      for each target recall and k that was asked for, the probes that it took: `first`,
                `now`, the `embeddings` that `now` was chosen for, and what was `before` (or null)
    drifted     the fingerprint of the embeddings that it was found unfit for, or null
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.config.sections import RulesSection
from pipeline.retrieval import quantiser
from pipeline.stages.context import Job
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

# A new one is trained where the longest list over the mean, the probes that the target recall
# takes, or the number of lists that the catalogue should have is more than so many times what it
# was (for the lists: or less than that part of it).
DRIFT = 2.0
# Below it lists are not called out of balance, whatever they were.
ALWAYS_BALANCED = 4.0
# How many of its nearest lists an item is given where it is not known how many will be probed.
DEFAULT_PROBES_PER_ITEM = 8


@dataclass(frozen=True)
class CurrentQuantiser:
    """A quantiser in use; the fields are explained above."""

    version: str
    embeddings: str
    before: str | None
    lists: int
    imbalance: float
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    drifted: str | None = None
    width_before: int = DEFAULT_PROBES_PER_ITEM


def load(job: Job) -> CurrentQuantiser | None:
    """The store's quantiser for this model and these settings."""
    raw = job.store.current_quantiser(_key(job))
    return None if raw is None else CurrentQuantiser(**raw)


def save(job: Job, lasting: CurrentQuantiser) -> None:
    """Let the nights to come use this quantiser; a run that does not publish changes nothing."""
    if job.publishing:
        job.store.set_current_quantiser(_key(job), asdict(lasting))


def adopt(job: Job, record: StageRecord) -> None:
    """Let the nights to come use the quantiser that an index was trained, if it was.

    Args:
        job: the run that uses the index.
        record: of the index, made by this run or an earlier one.
    """
    made, earlier = record.fingerprint, load(job)
    if record.outputs["quantiser"] != made or (earlier and earlier.version == made):
        return
    asked, lists = record.inputs, record.outputs["lists"]
    imbalance = record.counts["imbalance"]
    new = CurrentQuantiser(made, asked["embeddings"], asked["quantiser"], lists, imbalance)
    save(job, replace(new, width_before=asked["probes"]))


def usable_version(job: Job) -> str | None:
    """Which quantiser this night uses; None where it trains one.

    Where the one in use was trained for these very embeddings, what was said then.
    """
    lasting = load(job)
    if lasting is None:
        return None
    mine = job.record("embed").fingerprint
    if lasting.embeddings == mine:
        return lasting.before
    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    wanted = section.nlist or quantiser.list_count(count, section.sample_items)
    fits = lasting.lists / DRIFT <= wanted <= lasting.lists * DRIFT
    files = (job.store.quantiser_path, job.store.quantiser_sizes_path)
    there = all(path(lasting.version).exists() for path in files)
    return lasting.version if fits and there and lasting.drifted in (None, mine) else None


def is_unbalanced(lasting: CurrentQuantiser, imbalance: float) -> bool:
    """Whether the longest list has grown too far beyond the mean."""
    return imbalance > max(DRIFT * lasting.imbalance, ALWAYS_BALANCED)


def record_nprobe(job: Job, record: StageRecord) -> None:
    """Remember how many probes the target recall took; too many more than at first is drift.

    Args:
        job: the run that uses the neighbours, and whose settings name the target.
        record: of the neighbours, made by this run or an earlier one.
    """
    lasting, now = load(job), record.outputs["chosen_probes"]
    if lasting is None or now is None:
        return
    known = lasting.probes.get(_target(job), {})
    # Of neighbours that are used again the nights since may have said more.
    again = known and record.run_id != job.run_id
    if job.record("index").outputs["quantiser"] != lasting.version or again:
        return
    if known.get("now") == now:
        return
    mine, first = job.record("embed").fingerprint, known.get("first", now)
    noted = {"first": first, "now": now, "before": known.get("now"), "embeddings": mine}
    drifted = mine if now > DRIFT * first else lasting.drifted
    probed = lasting.probes | {_target(job): noted}
    save(job, replace(lasting, probes=probed, drifted=drifted))


def previous_nprobe(job: Job) -> int | None:
    """How many lists this night probes, as the night before it; None where it has to find out.

    Where that was found out for these very embeddings, what was known then.
    """
    lasting = load(job)
    known = lasting.probes.get(_target(job)) if lasting else None
    if lasting is None or known is None or usable_version(job) != lasting.version:
        return None
    mine = job.record("embed").fingerprint
    found: int | None = known["before" if known["embeddings"] == mine else "now"]
    return found


def past_nprobes(job: Job) -> list[int | None]:
    """All that `probes` may have said on nights of this quantiser."""
    lasting = load(job)
    of = lasting.probes.get(_target(job)) if lasting else None
    return [of["first"], of["before"], of["now"]] if of else []


def probes_per_item(job: Job) -> int:
    """How many of its nearest lists each item is given: at least as many as will be probed."""
    lasting, mine = load(job), job.record("embed").fingerprint
    if lasting is not None and lasting.embeddings == mine:
        return lasting.width_before
    known = lasting.probes.values() if lasting else ()
    now = [of["before" if of["embeddings"] == mine else "now"] or 0 for of in known]
    return max([DEFAULT_PROBES_PER_ITEM, *now])


def past_probes_per_item(job: Job) -> set[int]:
    """All that `width` may have said on nights of this quantiser."""
    lasting = load(job)
    if lasting is None:
        return {DEFAULT_PROBES_PER_ITEM}
    probes = (of[n] or 0 for of in lasting.probes.values() for n in ("first", "before", "now"))
    return {
        DEFAULT_PROBES_PER_ITEM,
        lasting.width_before,
        *(n for n in probes if n > DEFAULT_PROBES_PER_ITEM),
    }


def _target(job: Job) -> str:
    section, mine = job.config.neighbors, job.config.rules
    # Rules leave neighbours that are farther away.
    under = f" under {fingerprint(mine.model_dump())}" if mine != RulesSection() else ""
    return f"{section.target_recall} of {section.k}{under}"


def _key(job: Job) -> str:
    parts: dict[str, Any] = {
        "space": job.record("embed").outputs["space"],
        "index": job.config.index.model_dump(),
    }
    return fingerprint(parts)
