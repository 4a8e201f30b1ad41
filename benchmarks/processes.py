"""CPU time and memory of this process and of those below it: the JVM, Python workers, others."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

DRIVER, JVM, WORKERS, OTHERS = "driver", "jvm", "workers", "others"
KINDS = (DRIVER, JVM, WORKERS, OTHERS)

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """What the processes of each kind have used.

    Attributes:
        cpu: CPU seconds, user and system, of all processes of the kind, ended ones included.
        resident: resident memory of the largest process of the kind, in bytes.
    """

    cpu: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    resident: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Watcher:
    """Looks at processes again and again, in a thread, inside a `with` statement."""

    SECONDS = 0.2

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self.SECONDS):
            self.look()

    def look(self) -> None:
        """Look once."""
        raise NotImplementedError


class Sampler(Watcher):
    """Watches the processes below this one.

    Attributes:
        peaks: the largest resident memory of any one process of each kind, in bytes.
        cpu: CPU seconds of all processes of each kind, when their sum was largest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cpu = dict.fromkeys(KINDS, 0.0)
        self.peaks = dict.fromkeys(KINDS, 0)

    def look(self) -> None:
        """Look once."""
        current = usage()
        # Processes that end with Spark take their seconds with them.
        self.cpu = max(self.cpu, current.cpu, key=lambda cpu: sum(cpu.values()))
        for kind in KINDS:
            self.peaks[kind] = max(self.peaks[kind], current.resident[kind])


def usage() -> Usage:
    """What this process and those below it have used so far.

    Python workers are forked by a daemon, to which the CPU seconds of ended ones are added.
    """
    total, own, stats = Usage(), os.getpid(), _stats()
    for pid in descendants(own, {pid: parent for pid, (parent, _, _) in stats.items()}):
        kind, (_, ticks, pages) = DRIVER if pid == own else _kind(pid), stats[pid]
        total.cpu[kind] += ticks / _TICKS
        total.resident[kind] = max(total.resident[kind], pages * _PAGE)
    return total


def parents() -> dict[int, int]:
    """The parent of each process."""
    return {pid: parent for pid, (parent, _, _) in _stats().items()}


def descendants(root: int, parents: dict[int, int]) -> set[int]:
    """A process and all processes below it."""
    pids, children = {root}, {root}
    while children:
        children = {pid for pid, parent in parents.items() if parent in children} - pids
        pids |= children
    return pids


def command(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _stats() -> dict[int, tuple[int, int, int]]:
    """By process: its parent, CPU ticks with those of ended children, and resident pages."""
    stats = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # After the command, which may hold spaces: the fields from the third on (proc(5)).
                fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
                ticks = sum(int(value) for value in fields[11:15])
                stats[int(path.name)] = int(fields[1]), ticks, int(fields[21])
    return stats


def _kind(pid: int) -> str:
    line = command(pid)
    if "pyspark.worker" in line:
        return WORKERS
    return JVM if "java" in line.partition("\0")[0] else OTHERS
