"""The executors of a cluster: waiting for the first, checking that all see the store's folder."""

import platform
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import StageError, UsageError
from pipeline.storage.file_owners import owner_tag
from pipeline.terminal.progress import StageLine, updating_note

if TYPE_CHECKING:
    from pyspark import SparkContext

# The setting for how long a run waits for the first executor, as Spark writes times.
WAIT, DEFAULT_WAIT = "spark.nitamono.wait", "30min"
# Spark's units of time, in seconds; a number alone is seconds.
_UNIT_SECONDS = {
    **{"us": 1e-6, "ms": 1e-3, "": 1, "s": 1},
    **{"m": 60, "min": 60, "h": 3_600, "d": 86_400},
}
_ADVICE_AFTER_SECONDS = 20.0
_MAX_NAMED_HOSTS = 3


def check(context: "SparkContext", store: Path | None, line: StageLine) -> None:
    """Wait for the first executor, and check that executors find the store where the driver has it.

    On a cluster this runs one small task for each core that has joined so far; on a local master it
    does nothing. Hosts that join later are not checked. The tasks are submitted before there are
    executors, because with dynamic allocation no executor starts without tasks to run.

    Args:
        context: the session's.
        store: the store's folder; None where it is on no file system.
        line: the progress line, which shows what the run waits for.

    Raises:
        UsageError: a host does not see the store or can't write to it.
        StageError: no executor joined within the time of spark.nitamono.wait.
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
            probes = context.parallelize(range(tasks), tasks).map(lambda _: _probe(marker))
            results = probes.collect()
    finally:
        marker.unlink(missing_ok=True)
    problems = sorted({result for result in results if result[1]})
    if problems:
        raise UsageError(_store_problem(store, problems))


def _probe(marker: Path) -> tuple[str, str]:
    """Look for the store on an executor.

    Returns:
        the host, and what is wrong with the store there; empty if nothing is.
    """
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


def _store_problem(store: Path, problems: list[tuple[str, str]]) -> str:
    named = [f"the executor on host {host} {what}" for host, what in problems[:_MAX_NAMED_HOSTS]]
    others = len(problems) - len(named)
    more = f", and {others} more" if others else ""
    return (
        f"store.path {store}: the driver on host {platform.node()} has this folder, but "
        f"{', '.join(named)}{more}; put the store into an object store, or on a file system that "
        "all hosts mount at this path, writable for the user that executors run as"
    )


@contextmanager
def _waiting(context: "SparkContext", line: StageLine) -> Iterator[None]:
    """Show that there is no executor while the first job waits for one; cancel it in the end.

    Raises:
        StageError: no executor joined within the time of spark.nitamono.wait.
    """
    max_seconds, start = _wait_seconds(context), time.monotonic()
    group, timed_out = f"executors-{uuid.uuid4().hex}", threading.Event()
    context.setJobGroup(group, "the executors")

    def note() -> str:
        seconds = time.monotonic() - start
        if _task_started(context, group):
            return ""
        if seconds > max_seconds and not timed_out.is_set():
            timed_out.set()
            context.cancelJobGroup(group)
        advice = f"; {_advice(context)}" if seconds > _ADVICE_AFTER_SECONDS else ""
        return f"waiting for executors{advice}"

    try:
        with updating_note(line, note):
            yield
    except Exception as error:
        if not timed_out.is_set():
            raise
        raise StageError(
            f"no executor came within {max_seconds:.0f} s ({WAIT}): {_advice(context)}"
        ) from error


def _task_started(context: "SparkContext", group: str) -> bool:
    """Whether a task of a job group runs or has run, so that there is an executor."""
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
    stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    return any(s.numActiveTasks or s.numCompletedTasks or s.numFailedTasks for s in stages if s)


def _advice(context: "SparkContext") -> str:
    conf = context.getConf()
    cores = conf.get("spark.executor.cores", "") or "all of a worker's"
    return (
        f"{context.master} has no room for one with spark.executor.memory = "
        f"{conf.get('spark.executor.memory', '1g')} and spark.executor.cores = {cores}, or they "
        "die as they start; ask for less, or free or add hosts, or see in their logs why"
    )


def _wait_seconds(context: "SparkContext") -> float:
    text = context.getConf().get(WAIT, DEFAULT_WAIT) or DEFAULT_WAIT
    time_format = re.fullmatch(r"(\d+)([a-z]*)", text.strip().lower())
    if time_format is None or time_format[2] not in _UNIT_SECONDS:
        raise UsageError(f"{WAIT} = {text}: write a time, such as 90s, 30min or 2h")
    return int(time_format[1]) * _UNIT_SECONDS[time_format[2]]
