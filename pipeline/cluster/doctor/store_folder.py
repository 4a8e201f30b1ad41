"""The store as a first night finds it: writable, from every executor too, and not locked."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cluster.doctor.finding import BAD, OK, Finding, Findings, recorded
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.paths import StoragePath, remove_tree, spark_path
from pipeline.store import lock
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def check(config: Config) -> Findings:
    """Whether the driver can write to the store, and whether it is free."""
    findings: Findings = []
    holder: str | None = None
    with recorded(findings, "store") as say, probed_folder(config.store.path) as is_new:
        store = Store.of(config, mark=False)
        say(f"{store.root}: writable from here{' (a run will make it)' if is_new else ''}")
        holder = lock.find_holder(store)
    if holder is not None:
        text = f"the store is in use by {holder}; wait, or give run --wait"
        free = Finding("lock", OK, "nobody holds the store's lock")
        findings.append(Finding("lock", BAD, text) if holder else free)
    return findings


@contextmanager
def probed_folder(path: str) -> Iterator[bool]:
    """Let a store be opened for writing; folders that this has made are removed again.

    Args:
        path: the store's.

    Yields:
        whether there was no such folder.
    """
    folder = Path(path)
    made = [] if "://" in path else [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield bool(made)
    finally:
        for one in made:
            # What another process has put there meanwhile stays.
            with suppress(OSError):
                one.rmdir()


def check_from_executors(spark: "SparkSession", root: StoragePath) -> str:
    """Write a file from every executor into an object store, read them, and remove them.

    A folder is looked at by pipeline.spark.executors, when the session starts.

    Args:
        spark: the session.
        root: the store's address.

    Raises:
        UsageError: what was read is not what was written.
    """
    tasks = spark.sparkContext.defaultParallelism
    probe = root / f".probe-{owner_tag()}"
    try:
        spark.range(0, tasks, 1, tasks).write.parquet(spark_path(probe))
        read = spark.read.parquet(spark_path(probe)).count()
    finally:
        remove_tree(probe)
    if read != tasks:
        raise UsageError(f"{root}: {tasks} rows were written from the executors, {read} were read")
    return f"{root}: written and read by {tasks} tasks"
