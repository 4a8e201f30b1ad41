"""Warnings: settings of the user's that get jobs killed, and folders that can't hold a model."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.cluster.sizing.memory_size import MIB, parse, readable
from pipeline.cluster.sizing.plan import Plan
from pipeline.errors import UsageError

_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_SMAPS = "yarn.nodemanager.container-monitor.procfs-tree.smaps-based-rss.enabled"
# Spark's own defaults for executors.
_MEMORY, _OVERHEAD_FACTOR, _KUBERNETES_FACTOR, _MIN_OVERHEAD_MIB = "1g", 0.10, 0.40, 384
# Settings that change how executors are sized.
_SIZE_SETTINGS = ("cores", "memory", "memoryOverhead", "memoryOverheadFactor", "instances")


def find_warnings(plan: Plan, user_conf: Mapping[str, str], cache: Path) -> list[str]:
    """Find what would kill a job, or is harmful already.

    Args:
        plan: the plan.
        user_conf: the user's own [spark] settings, which take precedence over the plan's.
        cache: folder for models; it is looked at as far as it is on this machine.

    Raises:
        UsageError: a setting of memory or cores can't be parsed.
    """
    try:
        warnings = [*_address_space(plan, user_conf), *_executor_settings(plan, user_conf)]
    except ValueError as error:
        raise UsageError(f"size: [spark]: {error}") from error
    warnings += _cluster_manager(plan)
    if plan.node.cluster != "local":
        warnings += _cache_folder(plan, cache)
    return warnings


def _address_space(plan: Plan, conf: Mapping[str, str]) -> Iterator[str]:
    """A limit of address space, which kills workers that map a model."""
    name = "spark.executor.pyspark.memory"
    if name not in conf:
        return
    cores = _cores(plan, conf)
    text = (
        f"{name} = {conf[name]} becomes a limit of a Python worker's address space (RLIMIT_AS), "
        f"{readable(parse(conf[name], 'm') / cores)} for each of {cores}"
    )
    if plan.requirements.engine == "mapped":
        text += (
            f"; the mapped model alone takes {readable(plan.requirements.model)} of that, whatever "
            "it takes of memory"
        )
    yield f"{text}: leave it unset"


def _executor_settings(plan: Plan, conf: Mapping[str, str]) -> Iterator[str]:
    """Settings that leave too little memory in a container or on a node."""
    if plan.node.cluster == "local" or not any(
        f"spark.executor.{name}" in conf for name in _SIZE_SETTINGS
    ):
        return
    yield from executor_problems(plan, conf)


def executor_problems(plan: Plan, conf: Mapping[str, str]) -> Iterator[str]:
    """What leaves executors too little memory, in their containers or on their nodes.

    Args:
        plan: the plan, whose executors are those of the settings where these say nothing.
        conf: Spark's settings.

    Raises:
        ValueError: a setting of memory or cores can't be parsed.
    """
    cores = _cores(plan, conf)
    heap = parse(conf.get("spark.executor.memory", _MEMORY), "m")
    yield from _container_memory(plan, conf, cores, heap)
    yield from _node_memory(plan, conf, cores, heap)


def _container_memory(
    plan: Plan, conf: Mapping[str, str], cores: int, heap: float
) -> Iterator[str]:
    """A container that is too small for the Python workers in it."""
    kubernetes = plan.node.cluster == "kubernetes"
    configured = conf.get("spark.executor.memoryOverhead")
    if configured is not None:
        overhead = parse(configured, "m")
    else:
        factor = float(conf.get("spark.executor.memoryOverheadFactor", 0)) or (
            _KUBERNETES_FACTOR if kubernetes else _OVERHEAD_FACTOR
        )
        overhead = max(_MIN_OVERHEAD_MIB, heap * factor)
    stage = max(plan.requirements.stages, key=lambda s: s.worker * cores + kubernetes * s.shared)
    needed = _off_heap(heap) + stage.worker * cores + kubernetes * stage.shared
    if needed > overhead and plan.node.cluster != "standalone":
        pages = " and the model's pages, which count as the container's," if kubernetes else ""
        yield (
            f"your settings leave {readable(overhead)} beside a heap of {readable(heap)}; {cores} "
            f"Python workers{pages} take {readable(needed)} in {stage.name}: the container is "
            f"killed (exit code 137). Set spark.executor.memoryOverhead = {needed:.0f}m or fewer "
            "cores"
        )


def _node_memory(plan: Plan, conf: Mapping[str, str], cores: int, heap: float) -> Iterator[str]:
    """More tasks than a node has memory for."""
    node, instances = plan.node, conf.get("spark.executor.instances")
    executors = -(-int(instances) // node.count) if instances else node.cores // cores
    executors = max(executors, 1)
    jvms = executors * (heap + _off_heap(heap))
    needed = max(jvms + executors * cores * s.worker + s.shared for s in plan.requirements.stages)
    if needed > node.usable:
        yield (
            f"your settings run {executors * cores} tasks at once on a node, which take "
            f"{readable(needed)} of {readable(node.usable)}: the system kills some process. Take "
            f"{plan.tasks} tasks a node"
        )


def _off_heap(heap: float) -> float:
    """What a JVM takes outside its heap, MiB."""
    return max(_MIN_OVERHEAD_MIB, _OVERHEAD_FACTOR * heap)


def _cores(plan: Plan, conf: Mapping[str, str]) -> int:
    value = conf.get("spark.executor.cores", str(plan.cores))
    if not value.isdigit() or not int(value):
        raise ValueError(f"spark.executor.cores is {value}, no number from 1 on")
    return int(value)


def _cluster_manager(plan: Plan) -> Iterator[str]:
    """What has to be configured outside Spark."""
    node, needs = plan.node, plan.requirements
    if node.cluster == "yarn" and needs.engine == "mapped":
        container = plan.overhead + plan.heap + plan.cores * needs.model
        yield (
            "YARN counts the mapped model once for each Python worker, unless its NodeManagers "
            f"have {_SMAPS} = true; without that a container would need {readable(container)}"
        )
    if node.cluster == "standalone":
        yield (
            f"a standalone worker gives executors their heaps only: SPARK_WORKER_MEMORY must be "
            f"{readable(plan.executors * plan.heap)} at least, and SPARK_WORKER_CORES "
            f"{plan.tasks}; the rest of the node is for Python, so nothing else should run there"
        )


def _cache_folder(plan: Plan, cache: Path) -> Iterator[str]:
    """A folder for models that is in memory, or too small, as far as this machine can tell."""
    folder = next((path for path in (cache, *cache.parents) if path.is_dir()), Path("/"))
    file_system, model = _file_system(folder), plan.requirements.model
    if file_system in _MEMORY_FILE_SYSTEMS:
        yield (
            f"{cache} is in memory here ({file_system}): the model would take {readable(model)} of "
            "it once more, which no limit counts; give --cache a folder on a disk"
        )
    free = shutil.disk_usage(folder).free / MIB
    if free < 2 * model and not (cache / "entries").is_dir():
        yield (
            f"{cache} has {readable(free)} free here; the model and its successor take "
            f"{readable(2 * model)}: give --cache a folder on a larger disk"
        )


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; empty if the system does not tell."""
    longest, kind = "", ""
    with suppress(OSError):
        path = f"{os.path.realpath(folder)}/"
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            _, mount, name = line.split()[:3]
            if path.startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(longest):
                longest, kind = mount, name
    return kind
