"""The process that forks Spark's Python workers on a local master.

Spark's own daemon imports nothing before it forks, so that every worker imports PySpark, Arrow,
pandas and the stages again, and after each task looks through all their objects for garbage. This
one imports them once, and takes them out of the garbage collection; then it is Spark's daemon.

It needs this package on the path of a bare Python process, which on a cluster nobody can promise.
"""

import gc
import importlib
from pathlib import Path

# What the workers use.
MODULES = (
    "pyarrow.compute",
    "pyarrow.parquet",
    "pandas",
    "pyspark.worker",
    "pipeline.stages.tokenize.stage",
    "pipeline.stages.embed.stage",
    "pipeline.stages.neighbors.stage",
    "pipeline.stages.publish.stage",
)


def settings() -> dict[str, str]:
    """Spark's settings that make it the daemon of a local master."""
    return {
        "spark.python.daemon.module": __name__,
        "spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[2]),
    }


def main() -> None:
    """Import what the workers need, and fork workers until Spark ends."""
    from pyspark.daemon import manager

    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    manager()


if __name__ == "__main__":
    main()
