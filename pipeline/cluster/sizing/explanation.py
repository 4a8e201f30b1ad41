"""Explanation of a plan, for someone who has never set up Spark."""

from collections.abc import Iterator

from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.memory_size import MIB, readable
from pipeline.cluster.sizing.plan import (
    MAX_TASKS,
    PARTITION_MIB,
    PREFERRED_TASKS,
    Plan,
    shuffle_partitions,
)
from pipeline.cluster.sizing.requirements import HEAP_PER_TASK_MIB, RESERVED_HEAP_MIB

_NO_LIMIT = "; a standalone master does not enforce it: it says what Python takes"
_WORKER = "a task is one core's work at a time, and has a Python process (worker) of its own"


def explain(plan: Plan, cost: Cost, cache: str, training_mib: float) -> list[str]:
    """Explain each setting; every text begins with the setting's name.

    Args:
        plan: the plan.
        cost: cost of a night.
        cache: folder of each node for models.
        training_mib: MiB of the driver's Python process while it trains the quantiser.
    """
    reserved, per_task = RESERVED_HEAP_MIB, HEAP_PER_TASK_MIB
    return [
        f"cores: {_tasks(plan)}; {_WORKER}",
        f"instances: {plan.executors} a node of {plan.cores} tasks each: {_executors(plan)}",
        f"memory: the heap of an executor's JVM, {reserved} + {per_task} x {plan.cores} = "
        f"{plan.heap:,} MiB: Spark keeps {reserved}, and a task sorts in 60% of {per_task}",
        *_overhead(plan),
        f"the model: {_model(plan)}",
        f"shuffle.partitions: {shuffle_partitions(plan, cost):,}: at most {PARTITION_MIB} MiB "
        "each, and three for each task, so that none waits long for the last",
        f"driver: its Python process takes up to {readable(training_mib)} while it trains the "
        "quantiser on a sample, which its JVM never holds; nothing else there grows with the "
        "catalogue",
        f"cache: {_cache(plan, cost, cache)}",
        *_unused(plan),
    ]


def _tasks(plan: Plan) -> str:
    node = plan.node
    if plan.tasks < node.max_tasks:
        return (
            f"{plan.tasks} tasks at once on {node.cores} cores: memory is short, not cores; each "
            f"further one takes {readable(plan.requirements.worker)}"
        )
    if node.max_tasks < node.cores and plan.tasks == node.max_tasks:
        return f"{plan.tasks} tasks at once on {node.cores} cores: one is left to the system"
    if plan.tasks < node.cores:
        return f"{plan.tasks} tasks at once on {node.cores} cores, in executors of equal size"
    return f"{plan.tasks} tasks at once, one a core"


def _executors(plan: Plan) -> str:
    node = plan.node
    if node.cluster == "local":
        return "the driver's JVM does all the work"
    if node.cluster == "kubernetes" and plan.requirements.engine == "mapped":
        return "each container has its own copy of the model in its cache of files, so one a node"
    return (
        f"about {PREFERRED_TASKS}, {MAX_TASKS} at most: fewer waste memory on JVMs, more make what "
        "is lost with one larger"
    )


def _overhead(plan: Plan) -> Iterator[str]:
    if plan.node.cluster == "local":
        return
    stage = plan.largest_stage
    text = (
        f"memoryOverhead: {plan.off_heap} MiB of the JVM beside its heap, and {plan.cores} Python "
        f"workers of {stage.worker:,.0f} MiB in {stage.name} ({stage.explanation})"
    )
    if plan.node.cluster == "kubernetes" and stage.shared:
        text += f", and {stage.shared:,.0f} MiB of the model, which counts as the container's"
    yield (
        f"{text}. It replaces Spark's default (10% of the heap; 40% for Python on Kubernetes), "
        "which knows nothing of Python workers and models"
        + (_NO_LIMIT if plan.node.cluster == "standalone" else "")
    )


def _model(plan: Plan) -> str:
    needs = plan.requirements
    if needs.engine == "mapped":
        return (
            f"{needs.model:,.0f} MiB, mapped: the workers of a host share one copy, which is in "
            "no JVM and no worker, but in the system's cache of files"
        )
    return f"{needs.private_copy:,.0f} MiB in every Python worker, a copy of its own" + (
        ': model.engine = "mapped" needs one a host' if needs.engine == "library" else ""
    )


def _cache(plan: Plan, cost: Cost, cache: str) -> str:
    model = plan.requirements.model
    shuffled = max(cost.shuffle_bytes.values()) / MIB
    if plan.node.cluster == "local":
        return (
            "none is needed: the model is used where it is. spark.local.dir needs "
            f"{readable(shuffled)}"
        )
    local_dir = shuffled / plan.node.count + plan.executors * model
    return (
        f"{cache} needs {readable(2 * model)} on each node's disk, the model and its successor; "
        f"spark.local.dir {readable(local_dir)}, for what is sent and the executors' copies"
    )


def _unused(plan: Plan) -> Iterator[str]:
    free = plan.node.usable - plan.total
    if free >= 1024:
        yield (
            f"left: {readable(free)} of a node, which the system uses as a cache of files; it "
            "makes reading what was just written faster"
        )
