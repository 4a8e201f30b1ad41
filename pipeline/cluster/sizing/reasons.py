"""Why the plan is as it is, in words for someone who has never set up Spark."""

from collections.abc import Iterator

from pipeline.cluster.sizing.amount import MIB, shown
from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.demand import HEAP_A_TASK_MIB, HEAP_MIB
from pipeline.cluster.sizing.plan import (
    DRIVER_COPIES,
    MOST_TASKS,
    PARTITION_MIB,
    TASKS,
    Plan,
    partitions,
)

_NO_LIMIT = "; a standalone master does not enforce it: it says what Python takes"
_WORKER = "a task is one core's work at a time, and has a Python process (worker) of its own"


def reasons(made: Plan, cost: Cost, cache: str, sample: float) -> list[str]:
    """Reasons, one a setting, each beginning with its name.

    Args:
        made: the plan.
        cost: what a night costs.
        cache: folder of each node where models are kept.
        sample: MiB of the sample that the quantiser is trained on.
    """
    found = [
        f"cores: {_tasks(made)}; {_WORKER}",
        f"instances: {made.executors} a node of {made.cores} tasks each: {_executors(made)}",
        f"memory: the heap of an executor's JVM, {HEAP_MIB} + {HEAP_A_TASK_MIB} x {made.cores} = "
        f"{made.heap:,} MiB: Spark keeps {HEAP_MIB}, and a task sorts in 60% of {HEAP_A_TASK_MIB}",
        *_beside(made),
        f"the model: {_model(made)}",
        f"shuffle.partitions: {partitions(made, cost):,}: at most {PARTITION_MIB} MiB each, and "
        "three for each task, so that none waits long for the last",
        f"driver: its JVM takes in the sample that the quantiser is trained on, {shown(sample)}, "
        f"and its Python process up to {shown(DRIVER_COPIES * sample)} while it trains; nothing "
        "else there grows with the catalogue",
        f"cache: {_cache(made, cost, cache)}",
    ]
    return [*found, *_left(made)]


def _tasks(made: Plan) -> str:
    node = made.node
    if made.slots < node.slots:
        return (
            f"{made.slots} tasks at once on {node.cores} cores: memory is short, not cores; each "
            f"further one takes {shown(made.demand.worker)}"
        )
    if node.slots < node.cores and made.slots == node.slots:
        return f"{made.slots} tasks at once on {node.cores} cores: one is left to the system"
    if made.slots < node.cores:
        return f"{made.slots} tasks at once on {node.cores} cores, in executors of equal size"
    return f"{made.slots} tasks at once, one a core"


def _executors(made: Plan) -> str:
    node = made.node
    if node.cluster == "local":
        return "the driver's JVM does all the work"
    if node.cluster == "kubernetes" and made.demand.engine == "mapped":
        return "each container has its own copy of the model in its cache of files, so one a node"
    return (
        f"about {TASKS}, {MOST_TASKS} at most: fewer waste memory on JVMs, more make what is lost "
        "with one larger"
    )


def _beside(made: Plan) -> Iterator[str]:
    if made.node.cluster == "local":
        return
    yield (
        f"memoryOverhead: {_overhead(made)}. It replaces Spark's default (10% of the heap; 40% for "
        "Python on Kubernetes), which knows nothing of Python workers and models"
        + (_NO_LIMIT if made.node.cluster == "standalone" else "")
    )


def _overhead(made: Plan) -> str:
    counted = made.node.cluster == "kubernetes"
    stage = max(
        made.demand.stages, key=lambda s: s.worker * made.cores + (s.shared if counted else 0)
    )
    text = (
        f"{made.beside} MiB of the JVM beside its heap, and {made.cores} Python workers of "
        f"{stage.worker:,.0f} MiB in {stage.name} ({stage.why})"
    )
    if counted and stage.shared:
        text += f", and {stage.shared:,.0f} MiB of the model, which counts as the container's"
    return text


def _model(made: Plan) -> str:
    asked = made.demand
    if asked.engine == "mapped":
        return (
            f"{asked.model:,.0f} MiB, mapped: the workers of a host share one copy, which is in "
            "no JVM and no worker, but in the system's cache of files"
        )
    return f"{asked.copy:,.0f} MiB in every Python worker, a copy of its own" + (
        ': model.engine = "mapped" needs one a host' if asked.engine == "library" else ""
    )


def _cache(made: Plan, cost: Cost, cache: str) -> str:
    model = made.demand.model
    if made.node.cluster == "local":
        return f"none is needed: the model is used where it is. spark.local.dir needs {_sent(cost)}"
    local = max(cost.bytes.values()) / MIB / made.node.count + made.executors * model
    return (
        f"{cache} needs {shown(2 * model)} on each node's disk, the model and its successor; "
        f"spark.local.dir {shown(local)}, for what is sent and the executors' copies"
    )


def _sent(cost: Cost) -> str:
    return shown(max(cost.bytes.values()) / MIB)


def _left(made: Plan) -> Iterator[str]:
    free = made.node.usable - made.total
    if free >= 1024:
        yield (
            f"left: {shown(free)} of a node, which the system uses as a cache of files; it makes "
            "reading what was just written faster"
        )
