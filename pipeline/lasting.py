"""The quantiser that lasts: trained once, used night after night, until it has drifted too far.

Its record in the store holds
    version     of the index that it was trained for, which names its file
    embeddings  the fingerprint of the embeddings that it was trained on
    before      the version of the quantiser in use when that index was asked for, or null
    lists, imbalance, probes
                what it was at its training: number of lists; longest list over the mean; the probes
                that a target recall took, with the target and k (null until they were chosen)
    drifted     the fingerprint of the embeddings that it was found unfit for, or null
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.fingerprint import fingerprint
from pipeline.job import Job
from pipeline.retrieval import quantiser
from pipeline.store import Record

# A new one is trained where the longest list over the mean, the probes that the target recall
# takes, or the number of lists that the catalogue should have is more than so many times what it
# was (for the lists: or less than that part of it).
DRIFT = 2.0
# Below it lists are not called out of balance, whatever they were.
BALANCED = 4.0


@dataclass(frozen=True)
class Lasting:
    """A quantiser in use; the fields are explained above."""

    version: str
    embeddings: str
    before: str | None
    lists: int
    imbalance: float
    probes: tuple[int, float, int] | None = None
    drifted: str | None = None


def find(job: Job) -> Lasting | None:
    """The store's quantiser for this model and these settings."""
    raw = job.store.current_quantiser(_key(job))
    if raw is None:
        return None
    probes = raw.pop("probes")
    return Lasting(**raw, probes=tuple(probes) if probes else None)


def keep(job: Job, lasting: Lasting) -> None:
    """Let the nights to come use this quantiser; a run that does not publish changes nothing."""
    if job.publishing:
        job.store.set_current_quantiser(_key(job), asdict(lasting))


def adopt(job: Job, record: Record) -> None:
    """Let the nights to come use the quantiser that an index was trained, if it was.

    Args:
        job: the run that uses the index.
        record: of the index, made by this run or an earlier one.
    """
    made, earlier = record.fingerprint, find(job)
    if record.outputs["quantiser"] != made or (earlier and earlier.version == made):
        return
    asked, lists = record.inputs, record.outputs["lists"]
    imbalance = record.counts["imbalance"]
    keep(job, Lasting(made, asked["embeddings"], asked["quantiser"], lists, imbalance))


def version(job: Job) -> str | None:
    """Which quantiser this night uses; None where it trains one.

    Where the one in use was trained for these very embeddings, what was said then.
    """
    lasting = find(job)
    if lasting is None:
        return None
    mine = job.record("embed").fingerprint
    if lasting.embeddings == mine:
        return lasting.before
    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    wanted = section.nlist or quantiser.list_count(count, section.sample_items)
    fits = lasting.lists / DRIFT <= wanted <= lasting.lists * DRIFT
    there = job.store.quantiser_path(lasting.version).exists()
    return lasting.version if fits and there and lasting.drifted in (None, mine) else None


def unbalanced(lasting: Lasting, imbalance: float) -> bool:
    """Whether the longest list has grown too far beyond the mean."""
    return imbalance > max(DRIFT * lasting.imbalance, BALANCED)


def note_probes(job: Job, used: str, probes: int) -> None:
    """Remember how many probes the target recall took; too many more than at first is drift.

    Args:
        job: whose settings name the target.
        used: the version of the quantiser that was probed.
        probes: how many lists.
    """
    lasting, section = find(job), job.config.neighbors
    if lasting is None or lasting.version != used:
        return
    target = (section.target_recall, section.k)
    if lasting.probes is None:
        keep(job, replace(lasting, probes=(probes, *target)))
    elif lasting.probes[1:] == target and probes > DRIFT * lasting.probes[0]:
        keep(job, replace(lasting, drifted=job.record("embed").fingerprint))


def _key(job: Job) -> str:
    parts: dict[str, Any] = {
        "space": job.record("embed").outputs["space"],
        "index": job.config.index.model_dump(),
    }
    return fingerprint(parts)
