"""Spark's settings for a setup of executors."""

from pipeline.cluster.sizing.memory_size import spark_value
from pipeline.cluster.tuning.search import Setup

# Share of an executor's memory that its JVM's heap gets; the rest is for the JVM outside its heap,
# for Python workers and, on Kubernetes, for the model. It is about what `size` plans.
HEAP_SHARE = 0.4

# A task that fails has failed the trial, and executors that don't come soon won't come.
_TRIAL_SETTINGS = {"spark.task.maxFailures": "1", "spark.nitamono.wait": "120s"}
# Settings of the user's that would change the executors of a trial.
_DROPPED = (
    "spark.executor.memoryOverheadFactor",
    "spark.executor.pyspark.memory",
    "spark.dynamicAllocation.minExecutors",
    "spark.dynamicAllocation.maxExecutors",
)


def executor_settings(setup: Setup, nodes: int) -> dict[str, str]:
    """The settings of a setup's executors, on so many nodes."""
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


def trial_settings(user_conf: dict[str, str], setup: Setup, nodes: int) -> dict[str, str]:
    """The settings of a trial: the user's, with the setup's executors, and no retries of tasks.

    Args:
        user_conf: the user's own [spark] settings.
        setup: the executors to try.
        nodes: number of nodes.
    """
    conf = {name: value for name, value in user_conf.items() if name not in _DROPPED}
    return conf | executor_settings(setup, nodes) | _TRIAL_SETTINGS
