"""A limit on the memory of a cluster's executors together that kills, as a container's does."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.cluster.standalone import StandaloneCluster

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_LOOK_SECONDS = 0.1
Prefix = Callable[[int], Sequence[str]]


@contextmanager
def control_group(limit: int) -> Iterator[Prefix | None]:
    """A control group of at most so many bytes, and the prefix that puts a worker into it.

    None where the groups of memory can't be written, to all but root.
    """
    name = f"nitamono-test-{os.getpid()}"
    for root, setting in ((_V1, "memory.limit_in_bytes"), (_V2, "memory.max")):
        group = root / name
        try:
            group.mkdir()
            (group / setting).write_text(str(limit))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        command = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
        try:
            yield partial(_prefix, command)
        finally:
            _remove(group)
        return
    yield None


def _prefix(command: tuple[str, ...], _: int) -> tuple[str, ...]:
    return command


def _remove(group: Path) -> None:
    """Remove a group, when the last of its processes has ended."""
    until = time.monotonic() + 20
    while group.exists() and time.monotonic() < until:
        with suppress(OSError):
            group.rmdir()
        time.sleep(0.1)


@contextmanager
def watcher(cluster: StandaloneCluster, limit: int) -> Iterator[None]:
    """Where there is no control group: kill the largest process when all take too much.

    Limits of a process (ulimit) would not do: they bound each, not all together.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_LOOK_SECONDS):
            pids = [*cluster.executors(), *cluster.python_workers()]
            sizes = {pid: _pss(pid) for pid in pids}
            if sum(sizes.values()) > limit:
                with suppress(ProcessLookupError):
                    os.kill(max(sizes, key=lambda pid: sizes[pid]), signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _pss(pid: int) -> int:
    """Bytes of a process, each shared page counted once; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
