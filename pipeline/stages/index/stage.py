"""index: embeddings -> quantiser and lists."""

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.retrieval import groups, quantiser
from pipeline.retrieval.list_table import AssignLists
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import from_bytes
from pipeline.spark.sampling import collected_sample
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.incremental import Base
from pipeline.stages.index import current_quantiser, lists
from pipeline.storage.files import write_exclusive
from pipeline.storage.paths import StoragePath, load_array
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "index"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1

_FILE_BYTES, _BYTES_AN_ITEM = 128 << 20, 100


def inputs(job: Job) -> dict[str, Any]:
    """The embeddings, the index's settings, and the quantiser if an earlier night's is used."""
    exact = job.record("embed").outputs["vectors"] < job.config.index.exact_below
    return {
        "embeddings": job.record("embed").fingerprint,
        "index": job.config.index.model_dump(),
        "quantiser": None if exact else current_quantiser.usable_version(job),
        "probes": None if exact else current_quantiser.probes_per_item(job),
    }


@dataclass
class Assignment:
    """How the vectors are put into lists.

    Attributes:
        vectors: item_id, vector.
        nlist: number of lists.
        used: the version of the quantiser; None where every list is searched.
        locate: gives the nearest lists of vectors, on an executor.
        sizes: int64[nlist], how large the lists are, about, in relation to each other.
        base: the earlier lists that can be built on.
    """

    vectors: "DataFrame"
    nlist: int
    used: str | None
    locate: AssignLists
    sizes: Int64
    base: Base


def execute(job: Job, version: str) -> StageResult:
    """Put every vector into a list: the nearest; or where all are searched, any."""
    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    nlist = section.nlist or quantiser.list_count(count, section.sample_items)
    if count < section.exact_below or nlist == 1:
        return _make(job, _exact(job, nlist), version)
    used, earlier = current_quantiser.usable_version(job), current_quantiser.load(job)
    if used is not None and earlier is not None:
        trial = job.store.trial_version(version)
        made = _make(job, _by_quantiser(job, used, _base(job, used)), trial, version)
        if not current_quantiser.is_unbalanced(earlier, made.counts["imbalance"]):
            job.store.rename_version("lists", trial, version)
            return made
        job.store.discard_version("lists", trial)
    _train(job, nlist, version)
    new = incremental.no_base("the quantiser is new")
    return _make(job, _by_quantiser(job, version, new), version)


def _train(job: Job, nlist: int, version: str) -> None:
    """Train the quantiser of this version, unless a run that was broken off has done so."""
    section, count = job.config.index, job.record("embed").outputs["vectors"]
    path, sizes = job.store.quantiser_path(version), job.store.quantiser_sizes_path(version)
    if path.exists() and sizes.exists():
        return
    job.line.note = "training the quantiser"
    size = quantiser.sample_size(nlist, section.sample_items)
    points = training_sample(_vectors(job), count, size, section.seed)
    centroids = quantiser.train(points, nlist, section.seed)
    job.line.note = ""
    _save(path, centroids)
    _save(sizes, quantiser.list_sizes(points, centroids))


def _vectors(job: Job) -> "DataFrame":
    from pyspark.sql import functions as F

    embeddings = job.read("embeddings", "embed").where("half is not null")
    return embeddings.select("item_id", F.col("half").alias("vector"))


def _exact(job: Job, nlist: int) -> Assignment:
    base = _base(job, None)
    if base.record is not None:
        kept = base.record.outputs["lists"]
        if (
            base.record.outputs["exact"]
            and kept / current_quantiser.DRIFT <= nlist <= kept * current_quantiser.DRIFT
        ):
            nlist = kept
        else:
            base = incremental.no_base("the number of lists has changed")
    even = np.ones(nlist, dtype=np.int64)
    return Assignment(_vectors(job), nlist, None, lists.assign_by_hash(nlist), even, base)


def _by_quantiser(job: Job, used: str, base: Base) -> Assignment:
    handle = job.ship(job.store.quantiser_path(used), "quantiser")
    sizes = load_array(job.store.quantiser_sizes_path(used))
    locate = lists.assign_by_quantiser(handle, current_quantiser.probes_per_item(job))
    return Assignment(_vectors(job), len(sizes), used, locate, np.maximum(sizes, 1), base)


def _base(job: Job, used: str | None) -> Base:
    """The earlier lists that were cut by the same quantiser."""
    mine, kept = inputs(job), current_quantiser.load(job)
    mine["embeddings"] = job.record("embed").outputs["base"]
    # In this order: of several, the first that is there is taken.
    quantisers = dict.fromkeys([used, kept.before if kept else None, None])
    known = [None] if used is None else sorted(current_quantiser.past_probes_per_item(job))
    widths = dict.fromkeys([mine["probes"], *known])
    variants = [mine | {"quantiser": q, "probes": w} for q in quantisers for w in widths]
    base = incremental.stage_base(job, (NAME, CODE_VERSION), "embed", *variants)
    if base.record is not None and base.record.outputs["quantiser"] != used:
        return incremental.no_base("the quantiser is another")
    return base


def _make(job: Job, cut: Assignment, version: str, final: str = "") -> StageResult:
    """Write the tables: the lists under this version, which may be a trial of the final one."""
    final = final or version
    base = cut.base.record
    moves = None if base is None else incremental.changes_version(final, base)
    tables = {} if base is None or moves is None else _moves(job, cut, base, moves)
    size = job.record("embed").outputs["vectors"] * (
        2 * job.record("embed").outputs["dim"] + _BYTES_AN_ITEM
    )
    cores = job.spark.sparkContext.defaultParallelism
    # As many files a core: none waits for the last.
    files = groups.plan_by_rows(cut.sizes, cores * max(1, -(-size // (_FILE_BYTES * cores))))
    width = None if cut.used is None else current_quantiser.probes_per_item(job)
    if base is None or base.outputs["probes"] != width:
        spread = job.spread(cut.vectors, job.record("embed").outputs["vectors"])
        rows = lists.sorted_lists(spread, cut.locate, files)
    else:
        came, left = (
            job.store.read(job.spark, name, str(moves)) for name in ("arrivals", "departures")
        )
        rows = lists.updated_lists(
            job.store.open_clustered("lists", base.fingerprint), came, left, files
        )
    tables["lists"] = job.store.write_arrow("lists", version, rows)
    imbalance = _imbalance(job, version, cut.nlist)
    known = {"lists": cut.nlist, "exact": cut.used is None, "quantiser": cut.used}
    return StageResult(
        tables=tables,
        counts=known | {"imbalance": imbalance},
        outputs=known
        | {"vectors": tables["lists"], "dim": job.record("embed").outputs["dim"], "probes": width}
        | {"base": base and base.fingerprint, "why": cut.base.why, "moves": moves},
    )


def _moves(job: Job, cut: Assignment, base: StageRecord, version: str) -> dict[str, int]:
    """Write which rows came and which left since an earlier night."""
    changes = job.read("changes", "tokenize")
    vectors = cut.vectors.join(incremental.items_to_compute(changes), "item_id", how="left_semi")
    before = job.store.read(job.spark, "lists", base.fingerprint).select("item_id", "list")
    left = before.join(incremental.outdated_items(changes), "item_id", how="left_semi")
    return {
        "arrivals": job.store.write(lists.assigned_frame(vectors, cut.locate), "arrivals", version),
        "departures": job.store.write(left, "departures", version),
    }


def _imbalance(job: Job, version: str, nlist: int) -> float:
    """The longest list over the mean."""
    from pyspark.sql import functions as F

    sizes = job.store.read(job.spark, "lists", version).groupBy("list").count()
    found = sizes.agg(F.max("count"), F.sum("count")).first()
    assert found is not None  # noqa: S101 - an aggregate has one row
    return round(found[0] * nlist / found[1], 2) if found[1] else 0.0


def training_sample(vectors: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    return from_bytes(collected_sample(vectors, total, most, seed, "quantiser")["vector"])


def _save(path: StoragePath, values: np.ndarray) -> None:
    """Write a file whole or not at all; where another run was first, what it wrote stays."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    with suppress(FileExistsError):
        write_exclusive(path, buffer.getvalue())
