"""The plan: as many tasks as a node has memory for, in executors of about five tasks."""

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.cluster.sizing import requirements
from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.memory_size import MIB, readable, spark_value
from pipeline.cluster.sizing.requirements import Requirements, StageMemory
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.retrieval import list_training, quantiser

Cluster = Literal["local", "standalone", "yarn", "kubernetes"]

# What a node keeps for its system; on Kubernetes for its agents and other pods too.
RESERVE_SHARE = {"local": 0.05, "standalone": 0.05, "yarn": 0.05, "kubernetes": 0.10}
MIN_RESERVE_MIB = 1024
# A node with at least so many cores keeps one for its system.
SPARE_CORE_FROM = 8
# Tasks of an executor: fewer waste memory on JVMs, more lose more work with one executor.
PREFERRED_TASKS, MAX_TASKS = 5, 8
PARTITION_MIB = 128
# Memory of the driver's JVM and of its Python process.
DRIVER_MIB, DRIVER_PYTHON_MIB = 2048, 512
# What the latter takes beside the quantiser's sample while it trains lists. Without parents: three
# copies of the sample in float32, each twice as large as it is. With parents: blocks, and
# copies of the centroids in float32 (benchmarks/README.md).
SAMPLE_COPIES, TRAINING_MIB, CENTROID_COPIES = 6, 512, 5


@dataclass(frozen=True)
class Node:
    """The nodes of a cluster, which are all alike.

    Attributes:
        cores: cores of a node.
        memory: memory of a node, MiB.
        count: number of nodes.
        cluster: the cluster manager.
        reserve: memory that a node keeps for its system, MiB; None: a share of its memory.
    """

    cores: int
    memory: float
    count: int
    cluster: Cluster = "standalone"
    reserve: float | None = None

    @property
    def system_memory(self) -> float:
        """Memory that a node keeps for its system, MiB."""
        if self.reserve is not None:
            return self.reserve
        return float(max(MIN_RESERVE_MIB, RESERVE_SHARE[self.cluster] * self.memory))

    @property
    def usable(self) -> float:
        """Memory for executors, MiB."""
        return self.memory - self.system_memory

    @property
    def max_tasks(self) -> int:
        """Number of tasks that a node has cores for."""
        return self.cores - (self.cores >= SPARE_CORE_FROM)


@dataclass(frozen=True)
class Plan:
    """Executors of a node.

    Attributes:
        node: the nodes.
        requirements: memory that the stages need.
        executors: number of executors a node.
        cores: cores of an executor, which is the number of its tasks at once.
    """

    node: Node
    requirements: Requirements
    executors: int
    cores: int

    @property
    def tasks(self) -> int:
        """Tasks at once on a node."""
        return self.executors * self.cores

    @property
    def heap(self) -> int:
        """Heap of an executor, MiB."""
        return requirements.jvm(self.cores)[0]

    @property
    def off_heap(self) -> int:
        """Memory of an executor's JVM outside the heap, MiB."""
        return requirements.jvm(self.cores)[1]

    @property
    def jvms(self) -> int:
        """Memory of all JVMs of a node, MiB."""
        return self.executors * (self.heap + self.off_heap)

    def python_workers(self, stage: StageMemory) -> float:
        """Private memory of all Python workers of a node in a stage, MiB."""
        return self.tasks * stage.worker

    def mapped_files(self, stage: StageMemory) -> float:
        """Memory of the mapped files of a node in a stage, MiB."""
        # On Kubernetes each container is charged for its own pages.
        return (self.executors if self.node.cluster == "kubernetes" else 1) * stage.shared

    def node_memory(self, stage: StageMemory) -> float:
        """Memory that a stage takes of a node: JVMs, Python workers and mapped files, MiB."""
        return self.jvms + self.python_workers(stage) + self.mapped_files(stage)

    def container_memory(self, stage: StageMemory) -> float:
        """Memory that an executor's container takes in a stage, without its JVM, MiB."""
        counts_mapped_files = self.node.cluster == "kubernetes"
        return stage.worker * self.cores + (stage.shared if counts_mapped_files else 0)

    @property
    def largest_stage(self) -> StageMemory:
        """The stage whose containers take most."""
        return max(self.requirements.stages, key=self.container_memory)

    @property
    def total(self) -> float:
        """Memory that the largest stage takes of a node, MiB."""
        return max(self.node_memory(stage) for stage in self.requirements.stages)

    @property
    def overhead(self) -> float:
        """Memory of a container outside the heap (spark.executor.memoryOverhead), MiB."""
        return self.off_heap + self.container_memory(self.largest_stage)


def make_plan(node: Node, needs: Requirements) -> Plan:
    """The plan with the most tasks that fits a node.

    Raises:
        UsageError: not even one task fits.
    """
    one_executor = node.cluster == "local" or (
        node.cluster == "kubernetes" and needs.engine == "mapped"
    )
    plans = [
        Plan(node, needs, executors, cores)
        for executors in range(1, 1 + (1 if one_executor else node.max_tasks))
        for cores in range(1, 1 + (node.max_tasks if one_executor else MAX_TASKS))
        if executors * cores <= node.max_tasks
    ]
    fitting = [plan for plan in plans if plan.total <= node.usable]
    if not fitting:
        smallest = Plan(node, needs, 1, 1)
        raise UsageError(
            f"size: one task takes {readable(smallest.total)}, and a node of "
            f"{readable(node.memory)} has {readable(node.usable)} for executors; take larger nodes"
            + (', or model.engine = "mapped"' if needs.engine == "library" else "")
        )
    return min(fitting, key=lambda p: (-p.tasks, abs(p.cores - PREFERRED_TASKS), p.executors))


def shuffle_partitions(plan: Plan, cost: Cost) -> int:
    """Number of shuffle partitions: of 128 MiB at most, and three for each task at once."""
    largest = max(cost.shuffle_bytes.values()) / MIB
    minimum = 1 if plan.node.cluster == "local" else 200
    return max(minimum, 3 * plan.tasks * plan.node.count, math.ceil(largest / PARTITION_MIB))


def sample_mib(config: Config, plan: Plan, cost: Cost) -> float:
    """MiB of the vectors that the quantiser is trained on, which the driver reads in float16."""
    if cost.lists == 1:
        return 0.0
    points = quantiser.sample_size(cost.lists, config.index.sample_items)
    return points * (2 * plan.requirements.dim + 64) / MIB


def training_mib(config: Config, plan: Plan, cost: Cost) -> float:
    """MiB of the driver's Python process while it trains the quantiser, beside what it has else."""
    sample = sample_mib(config, plan, cost)
    if cost.lists < list_training.PARENTS_FROM:
        return (1 + SAMPLE_COPIES) * sample
    centroids = cost.lists * 4 * plan.requirements.dim / MIB
    return sample + TRAINING_MIB + CENTROID_COPIES * centroids


def spark_conf(
    plan: Plan, config: Config, cost: Cost, cache: str, cache_limit: str
) -> dict[str, str]:
    """Spark's settings for a plan.

    Args:
        plan: the plan.
        config: the section [index] is read.
        cost: cost of a night.
        cache: folder of each node for models.
        cache_limit: limit of that folder, as NITAMONO_CACHE_LIMIT is written.
    """
    conf = {"spark.sql.shuffle.partitions": str(shuffle_partitions(plan, cost))}
    if plan.node.cluster == "local":
        # One JVM is driver and executor.
        conf["spark.master"] = f"local[{plan.cores}]"
        conf["spark.driver.memory"] = spark_value(plan.heap)
        return dict(sorted(conf.items()))
    instances = plan.node.count * plan.executors
    conf |= {
        "spark.executor.cores": str(plan.cores),
        "spark.executor.instances": str(instances),
        "spark.executor.memory": spark_value(plan.heap),
        "spark.executor.memoryOverhead": spark_value(plan.overhead),
        "spark.driver.memory": spark_value(DRIVER_MIB),
        "spark.executorEnv.NITAMONO_CACHE": cache,
        "spark.executorEnv.NITAMONO_CACHE_LIMIT": cache_limit,
    }
    if plan.node.cluster == "standalone":
        # A standalone master counts an application's cores.
        conf["spark.cores.max"] = str(instances * plan.cores)
    else:
        overhead = DRIVER_PYTHON_MIB + training_mib(config, plan, cost)
        conf["spark.driver.memoryOverhead"] = spark_value(overhead)
    return dict(sorted(conf.items()))
