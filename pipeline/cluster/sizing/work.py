"""The tasks of a night, and the largest single allocation of each process.

They are planned by the code that plans real runs, for lists whose lengths are drawn at random, so
unevenly as in the benchmarks.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.cluster.sizing.cost import UNEVENNESS, Cost
from pipeline.cluster.sizing.memory_size import MIB
from pipeline.cluster.sizing.requirements import Requirements
from pipeline.config.sections import Config
from pipeline.retrieval import groups, packed_batches, quantiser
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.ranking import Int64
from pipeline.stages.index.stage import BYTES_PER_ITEM, plan_files
from pipeline.stages.neighbors.search import groups_near, plan_merge
from pipeline.stages.neighbors.search_context import SCANS_PER_CORE, candidate_depth

# Bytes of a candidate's id and score, and of what one more array of them takes.
_CANDIDATE_BYTES = 40
# Map statuses of shuffles with more than 2,000 partitions: a bit for each of them, and the mean
# size (Spark's HighlyCompressedMapStatus).
_STATUS_BYTES = 100


@dataclass(frozen=True)
class Allocation:
    """One block of memory.

    Attributes:
        what: what it holds, in words.
        mib: its size.
    """

    what: str
    mib: float


@dataclass(frozen=True)
class Work:
    """The work of a night.

    Attributes:
        tasks: the tasks of each step, by its name.
        largest: the largest single allocation of each process, by the process's name.
    """

    tasks: dict[str, int]
    largest: dict[str, Allocation]


def plan_work(config: Config, items: int, needs: Requirements, cost: Cost, cores: int) -> Work:
    """Plan a night.

    Args:
        config: the sections [index] and [neighbors] are read.
        items: number of items in the catalogue; all of them have a vector and are queries.
        needs: the model and its vectors.
        cost: its lists and probes.
        cores: tasks at a time on the whole cluster.
    """
    section, dim = config.neighbors, needs.dim
    sizes = uneven_sizes(items, cost.lists)
    files = plan_files(sizes, items, dim, cores)
    search = groups.plan_by_work(sizes, cores, groups.max_items_per_group(section.worker_mb, dim))
    depth = candidate_depth(config)
    merge = plan_merge(sizes, search, cost.probes, depth, cores)
    points = quantiser.sample_size(cost.lists, config.index.sample_items) if cost.lists > 1 else 0
    tasks = {
        "lists": files.group_count,
        "recall": min(SCANS_PER_CORE * cores, search.group_count),
        "search": section.partitions or search.group_count,
        "merge": merge.group_count,
    }
    candidates = sizes * depth * groups_near(search, cost.probes)
    worker = {
        "the rows of a file of the lists": _largest(files, sizes) * (2 * dim + BYTES_PER_ITEM),
        "a group's vectors in float32": _largest(search, sizes) * 4 * dim,
        "the candidates of a merge": _largest(merge, candidates) * _CANDIDATE_BYTES,
        "the quantiser's centroids": cost.lists * 4 * dim,
    }
    statuses = search.group_count * (math.ceil(merge.group_count / 8) + _STATUS_BYTES)
    return Work(
        tasks,
        {
            "driver's Python": _max(
                {
                    "the sample that the quantiser is trained on": points * 2 * dim,
                    "the quantiser's centroids": cost.lists * 4 * dim,
                }
            ),
            "driver's JVM": Allocation(
                "where the merge's tasks find their candidates", statuses / MIB
            ),
            "a Python worker": _max(worker),
            "an executor's JVM": Allocation(
                "a batch of packed rows", packed_batches.BATCH_BYTES / MIB
            ),
        },
    )


def uneven_sizes(items: int, nlist: int) -> Int64:
    """Lengths of lists, log-normal, so uneven that a search scores 1.3 times as many pairs."""
    sigma = math.sqrt(math.log(UNEVENNESS))
    shares = np.random.default_rng(0).lognormal(sigma=sigma, size=nlist)
    sizes: Int64 = np.round(items * shares / shares.sum()).astype(np.int64)
    return sizes


def _largest(plan: GroupPlan, sizes: Int64) -> float:
    """Rows of the largest group of a plan."""
    of_unit = np.repeat(sizes / plan.unit_count, plan.unit_count)
    return float(np.bincount(plan.group_of_unit, of_unit).max(initial=0))


def _max(blocks: dict[str, float]) -> Allocation:
    what = max(blocks, key=blocks.__getitem__)
    return Allocation(what, blocks[what] / MIB)
