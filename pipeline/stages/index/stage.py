"""index: embeddings -> quantiser and lists."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.retrieval import groups, list_training, quantiser
from pipeline.retrieval.list_table import AssignLists
from pipeline.retrieval.ranking import Int64
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.incremental import Base
from pipeline.stages.index import current_quantiser, lists, training_sample
from pipeline.store.arrow_files import Rows
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 3

# As many lists are stored for an item as it will probe by the training's estimate, times a margin:
# if more are needed, all lists are written again. No estimate has more than so many stored.
_PROBES_MARGIN, _MAX_ESTIMATED_PROBES = 2, 64

_FILE_BYTES, BYTES_PER_ITEM = 128 << 20, 100


def inputs(job: Job) -> dict[str, Any]:
    """The embeddings, the index's settings, and the quantiser if an earlier one is used."""
    exact = job.record("embed").outputs["vectors"] < job.config.index.exact_below
    return {
        "embeddings": job.record("embed").fingerprint,
        "index": job.config.index.model_dump(),
        "quantiser": None if exact else current_quantiser.usable_version(job),
        "probes": None if exact else current_quantiser.probes_per_item(job),
    }


@dataclass
class Assignment:
    """How the vectors are assigned to lists.

    Attributes:
        vectors: item_id, vector.
        nlist: number of lists.
        quantiser: its version; None if every list is searched.
        probes: how many of its nearest lists are stored for each item; None if every list is
            searched.
        assign: gives the nearest lists of vectors, on an executor.
        sizes: int64[nlist], estimated relative sizes of the lists.
        base: the earlier lists that can be built on.
    """

    vectors: "DataFrame"
    nlist: int
    quantiser: str | None
    probes: int | None
    assign: AssignLists
    sizes: Int64
    base: Base


def execute(job: Job, version: str) -> StageResult:
    """Put every vector into a list: the nearest one, or any if all lists are searched."""
    section = job.config.index
    vectors = job.record("embed").outputs["vectors"]
    nlist = section.nlist or quantiser.list_count(vectors, section.sample_items)
    if vectors < section.exact_below or nlist == 1:
        return _write_tables(job, _exact_assignment(job, nlist), version)
    usable, current = current_quantiser.usable_version(job), current_quantiser.load(job)
    if usable is not None and current is not None and job.store.quantisers.is_whole(usable):
        trial = job.store.trial_version(version)
        assignment = _quantiser_assignment(job, usable, _base(job, usable))
        result = _write_tables(job, assignment, trial, version)
        if not current_quantiser.is_unbalanced(current, result.counts["imbalance"]):
            job.store.rename_version("lists", trial, version)
            return result
        job.store.discard_version("lists", trial)
    _train(job, nlist, version)
    no_base = incremental.no_base("the quantiser is new")
    return _write_tables(job, _quantiser_assignment(job, version, no_base), version)


def _train(job: Job, nlist: int, version: str) -> None:
    """Train the quantiser of this version, unless a whole one is in the store."""
    section, vectors = job.config.index, job.record("embed").outputs["vectors"]
    if job.store.quantisers.is_whole(version):
        return
    job.line.note = "training the quantiser"
    size = quantiser.sample_size(nlist, section.sample_items)
    points = training_sample.draw(job.store, version, _vectors(job), vectors, size, section.seed)
    trained = list_training.train(points, nlist, section.seed)
    sizes = list_training.list_sizes(points, trained)
    needed = math.ceil(_PROBES_MARGIN * list_training.probes_needed(trained, points))
    job.line.note = ""
    job.store.quantisers.save(version, trained.arrays(), sizes, needed)


def _vectors(job: Job) -> "DataFrame":
    return _with_vector(job.read("embeddings", "embed"))


def _with_vector(embeddings: "DataFrame") -> "DataFrame":
    """The rows that have a vector: item_id, vector."""
    from pyspark.sql import functions as F

    rows = embeddings.where("half is not null")
    return rows.select("item_id", F.col("half").alias("vector"))


def _rows_with_vector(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Like `_with_vector`, in Python workers."""
    for batch in batches:
        rows = batch.filter(batch["half"].is_valid())
        yield rows.rename_columns(["item_id", "vector"])


def _exact_assignment(job: Job, nlist: int) -> Assignment:
    """Lists by hash, of the number that the base has, if that is near enough."""
    base = _base(job, None)
    if base.record is not None:
        base_nlist, drift = base.record.outputs["lists"], current_quantiser.DRIFT
        if base.record.outputs["exact"] and base_nlist / drift <= nlist <= base_nlist * drift:
            nlist = base_nlist
        else:
            base = incremental.no_base("the number of lists has changed")
    even = np.ones(nlist, dtype=np.int64)
    return Assignment(_vectors(job), nlist, None, None, lists.assign_by_hash(nlist), even, base)


def _quantiser_assignment(job: Job, version: str, base: Base) -> Assignment:
    handle = job.ship(job.store.quantisers.path(version), "quantiser")
    sizes, estimated = job.store.quantisers.sizes_and_probes(version)
    estimated = min(estimated, len(sizes), _MAX_ESTIMATED_PROBES)
    probes = max(estimated, current_quantiser.probes_per_item(job))
    assign = lists.assign_by_quantiser(handle, probes)
    return Assignment(
        _vectors(job), len(sizes), version, probes, assign, np.maximum(sizes, 1), base
    )


def _base(job: Job, version: str | None) -> Base:
    """The earlier lists that were made with the same quantiser.

    Args:
        job: the run.
        version: of the quantiser; None if every list is searched.
    """
    base_inputs, current = inputs(job), current_quantiser.load(job)
    base_inputs["embeddings"] = job.record("embed").outputs["base"]
    # The inputs that the earlier run may have had; the first that exists is taken, in this order.
    quantisers = dict.fromkeys([version, current.before if current else None, None])
    past = [None] if version is None else sorted(current_quantiser.past_probes_per_item(job))
    probes = dict.fromkeys([base_inputs["probes"], *past])
    variants = [base_inputs | {"quantiser": q, "probes": p} for q in quantisers for p in probes]
    base = incremental.stage_base(job, (NAME, CODE_VERSION), "embed", *variants)
    if base.record is not None and base.record.outputs["quantiser"] != version:
        return incremental.no_base("the quantiser is another")
    return base


def _write_tables(job: Job, assignment: Assignment, version: str, final: str = "") -> StageResult:
    """Write the lists, and if there is a base what has changed since.

    Args:
        job: the run.
        assignment: how the vectors are assigned.
        version: of the lists; it may be a trial.
        final: the final version, if `version` is a trial.
    """
    embed = job.record("embed").outputs
    base = assignment.base.record
    moves = None if base is None else incremental.changes_version(final or version, base)
    tables = {} if base is None or moves is None else _write_moves(job, assignment, base, moves)
    if base is None or base.outputs["probes"] != assignment.probes:
        vectors = job.scan("embeddings", "embed", ("item_id", "half")).map(_rows_with_vector)
        rows = lists.sorted_lists(vectors, assignment.assign, _plan_files(job, assignment))
        tables["lists"] = job.store.write_arrow("lists", version, rows)
    else:
        tables["lists"] = _update_lists(job, assignment, base, str(moves), tables, version)
    about = {
        "lists": assignment.nlist,
        "exact": assignment.quantiser is None,
        "quantiser": assignment.quantiser,
    }
    return StageResult(
        tables=tables,
        counts=about | {"imbalance": _imbalance(job, version, assignment.nlist)},
        outputs=about
        | {"vectors": tables["lists"], "dim": embed["dim"], "probes": assignment.probes}
        | {"base": base and base.fingerprint, "why": assignment.base.why, "moves": moves},
    )


def _update_lists(
    job: Job,
    assignment: Assignment,
    base: StageRecord,
    moves: str,
    counts: dict[str, int],
    version: str,
) -> int:
    """Write the lists: what has changed, on top of the earlier ones; or all of them.

    Args:
        job: the run.
        assignment: how the vectors are assigned.
        base: the record of the earlier lists.
        moves: the version of the arrivals and departures since then.
        counts: how many rows those have.
        version: of the lists.

    Returns:
        the number of rows.
    """
    store = job.store
    arrivals, departures = (
        store.read(job.spark, name, moves) for name in ("arrivals", "departures")
    )
    if not store.can_add_layer("lists", base.fingerprint, sum(counts.values())):
        earlier = store.open_clustered("lists", base.fingerprint)
        plan = _plan_files(job, assignment)
        rows = lists.updated_lists(earlier, arrivals, departures, plan)
        return store.write_arrow("lists", version, rows)
    size = counts["arrivals"] * (2 * job.record("embed").outputs["dim"] + BYTES_PER_ITEM)
    plan = groups.plan_by_rows(assignment.sizes, max(1, -(-size // _FILE_BYTES)))
    rows = lists.updated_lists(lists.NO_LISTS, arrivals, None, plan)
    gone = departures.coalesce(plan.group_count).sortWithinPartitions("list", "item_id")
    row_count, _ = store.write_layer("lists", version, base.fingerprint, rows, Rows(gone, iter))
    return row_count


def _plan_files(job: Job, assignment: Assignment) -> groups.GroupPlan:
    embed, cores = job.record("embed").outputs, job.spark.sparkContext.defaultParallelism
    return plan_files(assignment.sizes, embed["vectors"], embed["dim"], cores)


def plan_files(sizes: Int64, vectors: int, dim: int, cores: int) -> groups.GroupPlan:
    """Which lists each file has; a multiple of the cores, so that none waits for the last.

    Args:
        sizes: int64[nlist], relative sizes of the lists.
        vectors: how many vectors there are.
        dim: their length.
        cores: tasks at a time.
    """
    size = vectors * (2 * dim + BYTES_PER_ITEM)
    file_count = cores * max(1, -(-size // (_FILE_BYTES * cores)))
    return groups.plan_by_rows(sizes, file_count)


def _write_moves(
    job: Job, assignment: Assignment, base: StageRecord, version: str
) -> dict[str, int]:
    """Write which rows of the lists table are new and which are gone since the base."""
    changes = job.read("changes", "tokenize")
    added = job.read_layer("embeddings", "embed")
    if added is not None:
        vectors = _with_vector(added)
    else:
        new = incremental.items_to_compute(changes)
        vectors = assignment.vectors.join(new, "item_id", how="left_semi")
    base_lists = job.store.read(job.spark, "lists", base.fingerprint).select("item_id", "list")
    departures = base_lists.join(incremental.outdated_items(changes), "item_id", how="left_semi")
    arrivals = lists.assigned_frame(vectors, assignment.assign)
    return {
        "arrivals": job.store.write(arrivals, "arrivals", version),
        "departures": job.store.write(departures, "departures", version),
    }


def _imbalance(job: Job, version: str, nlist: int) -> float:
    """The longest list over the mean."""
    sizes = job.list_sizes(version, nlist)
    return round(int(sizes.max()) * nlist / int(sizes.sum()), 2) if sizes.any() else 0.0
