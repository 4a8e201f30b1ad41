"""The plan: as many tasks as a node has memory for, in executors of about five."""

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.cluster.sizing import demand
from pipeline.cluster.sizing.amount import MIB, shown, spark
from pipeline.cluster.sizing.cost import Cost
from pipeline.cluster.sizing.demand import Demand, Stage
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.retrieval import quantiser

Cluster = Literal["local", "standalone", "yarn", "kubernetes"]

# What a node keeps for its system; on Kubernetes for its agents and other pods too.
RESERVE_SHARE = {"local": 0.05, "standalone": 0.05, "yarn": 0.05, "kubernetes": 0.10}
RESERVE_MIB = 1024
# From so many cores on a node keeps one for its system.
SPARE_CORE_FROM = 8
# Tasks of an executor: fewer waste memory on JVMs, more make what is lost with one larger.
TASKS, MOST_TASKS = 5, 8
PARTITION_MIB = 128
# The driver's JVM, and what its Python process holds of the quantiser's sample at a time, in sizes
# of the sample in float16: as it came, and three times as float32.
DRIVER_MIB, DRIVER_PYTHON_MIB, DRIVER_COPIES = 2048, 512, 7


@dataclass(frozen=True)
class Node:
    """The nodes of a cluster.

    Attributes:
        cores: of each.
        memory: MiB of each.
        count: how many.
        cluster: what runs them.
        reserve: MiB that each keeps for its system; None: by the size.
    """

    cores: int
    memory: float
    count: int
    cluster: Cluster = "standalone"
    reserve: float | None = None

    @property
    def kept(self) -> float:
        """MiB that a node keeps for its system."""
        if self.reserve is not None:
            return self.reserve
        return float(max(RESERVE_MIB, RESERVE_SHARE[self.cluster] * self.memory))

    @property
    def usable(self) -> float:
        """MiB for executors."""
        return self.memory - self.kept

    @property
    def slots(self) -> int:
        """Tasks that it has cores for."""
        return self.cores - (self.cores >= SPARE_CORE_FROM)


@dataclass(frozen=True)
class Plan:
    """How the nodes are used.

    Attributes:
        node: the nodes.
        demand: what is asked of them.
        executors: on a node.
        cores: of an executor: its tasks at once.
    """

    node: Node
    demand: Demand
    executors: int
    cores: int

    @property
    def slots(self) -> int:
        """Tasks at once on a node."""
        return self.executors * self.cores

    @property
    def heap(self) -> int:
        """MiB of an executor's heap."""
        return demand.jvm(self.cores)[0]

    @property
    def beside(self) -> int:
        """MiB of an executor's JVM beside its heap."""
        return demand.jvm(self.cores)[1]

    def python(self, stage: Stage) -> float:
        """MiB of all Python workers of a node in a stage."""
        return self.slots * stage.worker

    def needs(self, stage: Stage) -> float:
        """MiB that a stage takes of a node, JVMs, Python workers and mapped files together."""
        jvms = self.executors * (self.heap + self.beside)
        # Each container has a cache of files of its own.
        copies = self.executors if self.node.cluster == "kubernetes" else 1
        return jvms + self.python(stage) + copies * stage.shared

    @property
    def total(self) -> float:
        """MiB that the stage which takes most takes of a node."""
        return max(self.needs(stage) for stage in self.demand.stages)

    @property
    def overhead(self) -> float:
        """MiB of a container beside the heap: spark.executor.memoryOverhead."""
        counted = self.node.cluster == "kubernetes"
        python = (s.worker * self.cores + counted * s.shared for s in self.demand.stages)
        return self.beside + max(python)


def plan(node: Node, asked: Demand) -> Plan:
    """The plan of most tasks that fits a node.

    Raises:
        UsageError: not even one task fits.
    """
    alone = node.cluster == "local" or (node.cluster == "kubernetes" and asked.engine == "mapped")
    choices = [
        Plan(node, asked, executors, cores)
        for executors in range(1, 1 + (1 if alone else node.slots))
        for cores in range(1, 1 + (node.slots if alone else MOST_TASKS))
        if executors * cores <= node.slots
    ]
    fitting = [choice for choice in choices if choice.total <= node.usable]
    if not fitting:
        least = Plan(node, asked, 1, 1)
        raise UsageError(
            f"size: one task takes {shown(least.total)}, and a node of {shown(node.memory)} has "
            f"{shown(node.usable)} for executors; take larger nodes"
            + (', or model.engine = "mapped"' if asked.engine == "library" else "")
        )
    return min(fitting, key=lambda p: (-p.slots, abs(p.cores - TASKS), p.executors))


def partitions(made: Plan, cost: Cost) -> int:
    """Shuffle partitions: of 128 MiB at most, and three for each task at once."""
    largest = max(cost.bytes.values()) / MIB
    least = 1 if made.node.cluster == "local" else 200
    return max(least, 3 * made.slots * made.node.count, math.ceil(largest / PARTITION_MIB))


def sample_mib(config: Config, made: Plan, cost: Cost) -> float:
    """MiB of the vectors that the quantiser is trained on, which come to the driver in float16."""
    if cost.lists == 1:
        return 0.0
    points = quantiser.sample_size(cost.lists, config.index.sample_items)
    return points * (2 * made.demand.dim + 64) / MIB


def conf(made: Plan, config: Config, cost: Cost, cache: str, limit: str) -> dict[str, str]:
    """Spark's settings for a plan.

    Args:
        made: the plan.
        config: [index] of it.
        cost: what a night costs.
        cache: folder of each node where models are kept.
        limit: of that folder, as NITAMONO_CACHE_LIMIT is written.
    """
    sample = sample_mib(config, made, cost)
    found = {
        "spark.sql.shuffle.partitions": str(partitions(made, cost)),
        # The driver refuses more than that from the tasks of one job; Spark's default is 1g.
        "spark.driver.maxResultSize": spark(max(1024, 2 * sample)),
    }
    if made.node.cluster == "local":
        # One JVM is driver and executor.
        found["spark.master"] = f"local[{made.cores}]"
        found["spark.driver.memory"] = spark(made.heap + 2 * sample)
        return dict(sorted(found.items()))
    found |= {
        "spark.executor.cores": str(made.cores),
        "spark.executor.memory": spark(made.heap),
        "spark.executor.memoryOverhead": spark(made.overhead),
        "spark.driver.memory": spark(DRIVER_MIB + 2 * sample),
        "spark.executorEnv.NITAMONO_CACHE": cache,
        "spark.executorEnv.NITAMONO_CACHE_LIMIT": limit,
    }
    instances = made.node.count * made.executors
    found["spark.executor.instances"] = str(instances)
    if made.node.cluster == "standalone":
        # A standalone master counts an application's cores.
        found["spark.cores.max"] = str(instances * made.cores)
    else:
        found["spark.driver.memoryOverhead"] = spark(DRIVER_PYTHON_MIB + DRIVER_COPIES * sample)
    return dict(sorted(found.items()))
