"""The process that forks Spark's Python workers on a local master.

Spark's own daemon imports nothing before it forks, so that every worker imports PySpark, Arrow,
pandas and the stages again, and after each task looks through all their objects for garbage. This
one imports them once, and takes them out of the garbage collection; then it is Spark's daemon.

It needs this package on the path of a bare Python process, which on a cluster nobody can promise.
"""

import gc
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

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


def is_used(spark_settings: Mapping[str, str]) -> bool:
    """Whether Spark's settings name it as the daemon."""
    return settings().items() <= spark_settings.items()


def start(spark: "SparkSession") -> Thread:
    """Start it, by a job of its own, while the driver prepares the first job of the run."""

    def start_quietly() -> None:
        # What is wrong with the workers is said where they are needed.
        with suppress(Exception):
            run_job(spark)

    thread = Thread(target=start_quietly, name="start-python-workers", daemon=True)
    thread.start()
    return thread


def run_job(spark: "SparkSession") -> int:
    """Run a job that does nothing, in a Python worker; returns how many rows it had."""

    def same(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return batches

    return len(spark.range(1, numPartitions=1).mapInArrow(same, "id long").collect())


def without_archives(path: list[str]) -> list[str]:
    """Python's search path without Spark's archives, if the installed PySpark is the same.

    PySpark 4.1 reads the list of files of every archive on the path again before each task, which
    takes a tenth of a second.
    """
    rest = [entry for entry in path if not entry.endswith((".zip", ".jar"))]
    archive = next((Path(entry) for entry in path if entry.endswith("/pyspark.zip")), None)
    package = archive and archive.parents[2]
    folders = {Path(entry).resolve() for entry in rest}
    is_installed = package and package.parent.resolve() in folders
    return rest if is_installed else path


def main() -> None:
    """Import what the workers need, and fork workers until Spark ends."""
    sys.path[:] = without_archives(sys.path)
    for entry in sys.path_importer_cache.keys() - set(sys.path):
        # What Python has read of the archives.
        del sys.path_importer_cache[entry]
    from pyspark.daemon import manager

    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
