"""What kills jobs: settings that go against a plan, and folders that can't hold a model."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.cluster.sizing.amount import MIB, parse, shown
from pipeline.cluster.sizing.plan import Plan
from pipeline.errors import UsageError

_IN_MEMORY = ("tmpfs", "ramfs")
_SMAPS = "yarn.nodemanager.container-monitor.procfs-tree.smaps-based-rss.enabled"
# Spark's own defaults, of executors.
_MEMORY, _FACTOR, _PYTHON_FACTOR, _LEAST = "1g", 0.10, 0.40, 384


def dangers(made: Plan, given: Mapping[str, str], cache: Path) -> list[str]:
    """What would kill a job, or already does harm.

    Args:
        made: the plan.
        given: the user's own [spark] settings, which come before the plan's.
        cache: folder of models; looked at if it, or what it would be in, is on this machine.

    Raises:
        UsageError: a setting of memory or cores can't be read.
    """
    try:
        found = [*_address_space(made, given), *_given(made, given)]
    except ValueError as error:
        raise UsageError(f"size: [spark]: {error}") from error
    folder = [] if made.node.cluster == "local" else _folder(made, cache)
    return [*found, *_cluster(made), *folder]


def _address_space(made: Plan, given: Mapping[str, str]) -> Iterator[str]:
    name = "spark.executor.pyspark.memory"
    if name not in given:
        return
    worker = parse(given[name], "m") / _cores(made, given)
    text = (
        f"{name} = {given[name]} becomes a limit of a Python worker's address space (RLIMIT_AS), "
        f"{shown(worker)} for each of {_cores(made, given)}"
    )
    if made.demand.engine == "mapped":
        text += (
            f"; the mapped model alone takes {shown(made.demand.model)} of that, whatever it takes "
            "of memory"
        )
    yield f"{text}: leave it unset"


def _given(made: Plan, given: Mapping[str, str]) -> Iterator[str]:
    """Settings of the user's that leave too little."""
    told = {n.removeprefix("spark.executor.") for n in given if n.startswith("spark.executor.")}
    if made.node.cluster == "local" or not told & {
        "cores",
        "memory",
        "memoryOverhead",
        "memoryOverheadFactor",
        "instances",
    }:
        return
    cores = _cores(made, given)
    heap = parse(given.get("spark.executor.memory", _MEMORY), "m")
    has = parse(given["spark.executor.memoryOverhead"], "m") if "memoryOverhead" in told else None
    if has is None:
        python = made.node.cluster == "kubernetes"
        factor = float(given.get("spark.executor.memoryOverheadFactor", 0))
        has = max(_LEAST, heap * (factor or (_PYTHON_FACTOR if python else _FACTOR)))
    counted = made.node.cluster == "kubernetes"
    stage = max(made.demand.stages, key=lambda s: s.worker * cores + counted * s.shared)
    needs = max(_LEAST, _FACTOR * heap) + stage.worker * cores + counted * stage.shared
    if needs > has and made.node.cluster != "standalone":
        room = " and the model's pages, which count as the container's," if counted else ""
        yield (
            f"your settings leave {shown(has)} beside a heap of {shown(heap)}; {cores} Python "
            f"workers{room} take {shown(needs)} in {stage.name}: the container is killed (exit "
            f"code 137). Set spark.executor.memoryOverhead = {needs:.0f}m or fewer cores"
        )
    yield from _tasks(made, given, cores, heap)


def _tasks(made: Plan, given: Mapping[str, str], cores: int, heap: float) -> Iterator[str]:
    """More tasks than a node has memory for."""
    instances = given.get("spark.executor.instances")
    executors = -(-int(instances) // made.node.count) if instances else made.node.cores // cores
    executors = max(executors, 1)
    jvms = executors * (heap + max(_LEAST, _FACTOR * heap))
    needs = max(jvms + executors * cores * s.worker + s.shared for s in made.demand.stages)
    if needs > made.node.usable:
        yield (
            f"your settings run {executors * cores} tasks at once on a node, which take "
            f"{shown(needs)} of {shown(made.node.usable)}: the system kills some process. Take "
            f"{made.slots} tasks a node"
        )


def _cores(made: Plan, given: Mapping[str, str]) -> int:
    value = given.get("spark.executor.cores", str(made.cores))
    if not value.isdigit() or not int(value):
        raise ValueError(f"spark.executor.cores is {value}, no number from 1 on")
    return int(value)


def _cluster(made: Plan) -> Iterator[str]:
    asked, node = made.demand, made.node
    if node.cluster == "yarn" and asked.engine == "mapped":
        each = made.overhead + made.heap + made.cores * asked.model
        yield (
            "YARN counts the mapped model once for each Python worker, unless its NodeManagers "
            f"have {_SMAPS} = true; without that a container would need {shown(each)}"
        )
    if node.cluster == "standalone":
        need = made.executors * made.heap
        yield (
            f"a standalone worker gives executors their heaps only: SPARK_WORKER_MEMORY must be "
            f"{shown(need)} at least, and SPARK_WORKER_CORES {made.slots}; the rest of the node is "
            "for Python, so nothing else should run there"
        )


def _folder(made: Plan, cache: Path) -> Iterator[str]:
    """A cache of models that is memory, or too small, as far as this machine can tell."""
    there = next((p for p in (cache, *cache.parents) if p.is_dir()), Path("/"))
    kind, model = _file_system(there), made.demand.model
    if kind in _IN_MEMORY:
        yield (
            f"{cache} is in memory here ({kind}): the model would take {shown(model)} of it once "
            "more, which no limit counts; give --cache a folder on a disk"
        )
    free = shutil.disk_usage(there).free / MIB
    if free < 2 * model and not (cache / "entries").is_dir():
        yield (
            f"{cache} has {shown(free)} free here; the model and its successor take "
            f"{shown(2 * model)}: give --cache a folder on a larger disk"
        )


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; empty where the system does not say."""
    best, kind = "", ""
    with suppress(OSError):
        path = f"{os.path.realpath(folder)}/"
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            _, mount, name = line.split()[:3]
            if path.startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(best):
                best, kind = mount, name
    return kind
