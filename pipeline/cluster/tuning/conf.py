"""Spark's settings for a setup."""

from pipeline.cluster.sizing.memory_size import spark_value
from pipeline.cluster.tuning.search import Setup

# Of an executor's memory the share that its JVM's heap gets; the rest is for the JVM beside its
# heap, for Python workers and, where that counts, for the model. About what `size` plans.
HEAP_SHARE = 0.4


def of(setup: Setup, nodes: int) -> dict[str, str]:
    """The settings that a setup stands for."""
    heap = int(HEAP_SHARE * setup.memory)
    instances = nodes * setup.executors
    return {
        # A standalone master counts an application's cores, other clusters its executors.
        "spark.cores.max": str(instances * setup.cores),
        "spark.dynamicAllocation.enabled": "false",
        "spark.executor.cores": str(setup.cores),
        "spark.executor.instances": str(instances),
        "spark.executor.memory": spark_value(heap),
        "spark.executor.memoryOverhead": spark_value(setup.memory - heap),
    }


def in_trial(given: dict[str, str], setup: Setup, nodes: int) -> dict[str, str]:
    """Settings of a trial: the user's, but for executors, and no second chance for a task.

    Args:
        given: the user's own [spark] settings.
        setup: what is tried.
        nodes: how many.
    """
    left = {name: value for name, value in given.items() if name not in _TRIED}
    return left | of(setup, nodes) | _TRIAL


# A task that fails has failed the trial, and executors that don't come soon won't come.
_TRIAL = {"spark.task.maxFailures": "1", "spark.nitamono.wait": "120s"}
_TRIED = (
    "spark.executor.memoryOverheadFactor",
    "spark.executor.pyspark.memory",
    "spark.dynamicAllocation.minExecutors",
    "spark.dynamicAllocation.maxExecutors",
)
