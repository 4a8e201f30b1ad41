"""The executors of a cluster: waited for, and asked whether they see the store's folder."""

import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import StageError, UsageError
from pipeline.storage.processes import owner_tag
from pipeline.terminal.progress import StageLine, updating_note

if TYPE_CHECKING:
    from pyspark import SparkContext

# How long the first executor is waited for, as Spark writes times.
WAIT, DEFAULT_WAIT = "spark.nitamono.wait", "30min"
_SAID_AFTER_SECONDS = 20.0
_HOSTS_NAMED = 3


def check(context: "SparkContext", store: Path | None, line: StageLine) -> None:
    """Wait for executors, and see that they find the store where the driver has it.

    One small task for each core that has come so far; nothing at all on a local master. Hosts that
    come later are not asked. The tasks are sent before there are executors, because with dynamic
    allocation none come unless there is something to do.

    Args:
        context: the session's.
        store: the store's folder; None where it is on no file system.
        line: the progress line, which says what is waited for.

    Raises:
        UsageError: a host does not see the store, or can't write there.
        StageError: no executor came within the time of spark.nitamono.wait.
    """
    master = context.master or "local"
    if master == "local" or master.startswith("local["):
        return
    if store is None:
        with _waiting(context, line):
            context.parallelize([0], 1).count()
        return
    marker = store.absolute() / f".probe-{owner_tag()}"
    marker.touch()
    try:
        with _waiting(context, line):
            tasks = context.defaultParallelism
            told = context.parallelize(range(tasks), tasks).map(lambda _: _look(marker)).collect()
    finally:
        marker.unlink(missing_ok=True)
    wrong = sorted({answer for answer in told if answer[1]})
    if wrong:
        raise UsageError(_unseen(store, wrong))


def _look(marker: Path) -> tuple[str, str]:
    """On an executor: its host, and what is wrong with the store there; empty if nothing is."""
    host = platform.node()
    if not marker.exists():
        return host, "does not see it"
    try:
        probe = marker.with_name(f".probe-{owner_tag()}")
        probe.touch()
        probe.unlink()
    except OSError as error:
        return host, f"can't write there ({error.strerror})"
    return host, ""


def _unseen(store: Path, wrong: list[tuple[str, str]]) -> str:
    said = ", ".join(f"the executor on host {host} {what}" for host, what in wrong[:_HOSTS_NAMED])
    more = f", and {len(wrong) - _HOSTS_NAMED} more" if len(wrong) > _HOSTS_NAMED else ""
    return (
        f"store.path {store}: the driver on host {platform.node()} has this folder, but {said}"
        f"{more}; put the store on s3a://, or on a file system that all hosts mount at this path, "
        "writable for the user that executors run as"
    )


@contextmanager
def _waiting(context: "SparkContext", line: StageLine) -> Iterator[None]:
    """While the first job runs, say that there is no executor; end it after a while."""
    wait, started = _seconds(context), time.monotonic()
    group, gave_up = f"executors-{uuid.uuid4().hex}", threading.Event()
    context.setJobGroup(group, "the executors")

    def note() -> str:
        waited = time.monotonic() - started
        # The driver is one of them.
        if context._jsc is None or context._jsc.sc().getExecutorMemoryStatus().size() > 1:
            return ""
        if waited > wait and not gave_up.is_set():
            gave_up.set()
            context.cancelJobGroup(group)
        said = f"; {_advice(context)}" if waited > _SAID_AFTER_SECONDS else ""
        return f"waiting for executors{said}"

    try:
        with updating_note(line, note):
            yield
    except Exception as error:
        if not gave_up.is_set():
            raise
        raise StageError(
            f"no executor came within {wait} s ({WAIT}): {_advice(context)}"
        ) from error


def _advice(context: "SparkContext") -> str:
    conf = context.getConf()
    cores = conf.get("spark.executor.cores", "") or "all of a worker's"
    return (
        f"{context.master} has no room for one with spark.executor.memory = "
        f"{conf.get('spark.executor.memory', '1g')} and spark.executor.cores = {cores}, or they "
        "die as they start; ask for less, or free or add hosts, or see in their logs why"
    )


def _seconds(context: "SparkContext") -> int:
    text = context.getConf().get(WAIT, DEFAULT_WAIT) or DEFAULT_WAIT
    assert context._jvm is not None  # noqa: S101 - the context lives
    try:
        return int(context._jvm.org.apache.spark.network.util.JavaUtils.timeStringAsSec(text))
    except Exception as error:
        raise UsageError(f"{WAIT} = {text}: write a time, such as 90s, 30min or 2h") from error
