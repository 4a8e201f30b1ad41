"""CPU time and memory of this process and of those below it: the JVM, Python workers, others."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

DRIVER, JVM, WORKERS, OTHERS = "driver", "jvm", "workers", "others"
KINDS = (DRIVER, JVM, WORKERS, OTHERS)

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Process:
    """A process at some moment; its times are without those of its children."""

    parent: int
    started: int
    ticks: int
    pages: int


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
    """Watches this process and those below it.

    Attributes:
        peaks: the largest resident memory of any one process of each kind, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peaks = dict.fromkeys(KINDS, 0)
        # Processes that have ended stay, with what they had used when they were last seen.
        self._ticks: dict[tuple[int, int], tuple[str, int]] = {}

    def look(self) -> None:
        """Look once."""
        own, stats = os.getpid(), _stats()
        for pid in descendants(own, {pid: process.parent for pid, process in stats.items()}):
            process, kind = stats[pid], DRIVER if pid == own else _kind(pid)
            # Of a process that is ending nothing but its times can be read.
            known, ticks = self._ticks.get((pid, process.started), (kind, 0))
            kind = known if kind == OTHERS else kind
            self.peaks[kind] = max(self.peaks[kind], process.pages * _PAGE)
            self._ticks[pid, process.started] = kind, max(ticks, process.ticks)

    @property
    def cpu(self) -> dict[str, float]:
        """CPU seconds, user and system, of all processes of each kind so far, ended ones too.

        Processes that live for less than `SECONDS` may be missing.
        """
        self.look()
        seconds = dict.fromkeys(KINDS, 0.0)
        for kind, ticks in list(self._ticks.values()):
            seconds[kind] += ticks / _TICKS
        return seconds


def parents() -> dict[int, int]:
    """The parent of each process."""
    return {pid: process.parent for pid, process in _stats().items()}


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


def _stats() -> dict[int, _Process]:
    """All processes, by their number."""
    stats = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # After the command, which may hold spaces: the fields from the third on (proc(5)).
                fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parent, user, system, started, pages = (int(fields[n]) for n in (1, 11, 12, 19, 21))
                stats[int(path.name)] = _Process(parent, started, user + system, pages)
    return stats


def _kind(pid: int) -> str:
    line = command(pid)
    if "pyspark.worker" in line:
        return WORKERS
    return JVM if "java" in line.partition("\0")[0] else OTHERS
