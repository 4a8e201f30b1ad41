"""Memory of Spark's processes, each shared page counted once: Linux's proportional set size."""

import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PYTHON = "pyspark.daemon"
_SECONDS = 1.0


@dataclass
class Memory:
    """Memory of the executors and all that runs below them, in bytes.

    Attributes:
        jvm: the executors' JVMs.
        python: what Python processes hold that no file stands behind.
        files: what is mapped of files by Python processes: the model, and libraries.
        workers: how many Python processes there are below the executors' daemons.
    """

    jvm: int = 0
    python: int = 0
    files: int = 0
    workers: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.jvm + self.python + self.files


class Sampler:
    """Looks at the executors below this process every second; use it in a `with` statement.

    Attributes:
        peak: as it was when all of it together was most.
        most: the most that each part was, whenever that was.
    """

    def __init__(self) -> None:
        self.peak, self.most = Memory(), Memory()
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
        while not self._stop.wait(_SECONDS):
            now = look(os.getpid())
            self.peak = max(self.peak, now, key=lambda memory: memory.total)
            parts = {
                name: max(value, asdict(now)[name]) for name, value in asdict(self.most).items()
            }
            self.most = Memory(**parts)


def look(root: int) -> Memory:
    """The memory of the executors below a process, as it is now."""
    found = Memory()
    parents = _parents()
    daemons = {pid for pid in parents if _PYTHON in _command(pid)}
    for pid in _below(root, parents):
        with suppress(OSError):
            if _EXECUTOR in _command(pid):
                found.jvm += sum(_sizes(pid).values())
            elif pid in daemons:
                sizes = _sizes(pid)
                found.files += sizes["Pss_File"]
                found.python += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
                found.workers += parents[pid] in daemons
    return found


def _sizes(pid: int) -> dict[str, int]:
    sizes = dict.fromkeys(("Pss_Anon", "Pss_File", "Pss_Shmem"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name = line.partition(":")[0]
        if name in sizes:
            sizes[name] = int(line.split()[1]) << 10
    return sizes


def _parents() -> dict[int, int]:
    """The parent of every process."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents[int(path.name)] = int(fields[1])
    return parents


def _below(root: int, parents: dict[int, int]) -> set[int]:
    found, more = {root}, {root}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
