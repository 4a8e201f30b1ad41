"""Memory of Spark's processes, each shared page counted once: Linux's proportional set size."""

import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PYTHON = "pyspark.worker"
_SECONDS = 1.0


@dataclass
class Memory:
    """Memory of the executors and of all processes below them, in bytes.

    Attributes:
        jvm: of the executors' JVMs.
        python: of Python processes, without files.
        files: mapped files of Python processes: the model, and libraries.
        workers: number of Python processes below the executors' daemons.
    """

    jvm: int = 0
    python: int = 0
    files: int = 0
    workers: int = 0

    @property
    def total(self) -> int:
        """The sum, in bytes."""
        return self.jvm + self.python + self.files


class Sampler:
    """Measures the executors below this process every second, inside a `with` statement.

    Attributes:
        peak: the measurement with the largest sum.
        maxima: the maximum of each part, each at its own time.
    """

    def __init__(self) -> None:
        self.peak, self.maxima = Memory(), Memory()
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
            current = executor_memory(os.getpid())
            self.peak = max(self.peak, current, key=lambda memory: memory.total)
            parts = asdict(current)
            maxima = asdict(self.maxima)
            self.maxima = Memory(**{name: max(maxima[name], parts[name]) for name in parts})


def executor_memory(root: int) -> Memory:
    """Measure the memory of the executors below a process."""
    memory = Memory()
    parents = _parents()
    daemons = {pid for pid in parents if _PYTHON in _command(pid)}
    for pid in _descendants(root, parents):
        with suppress(OSError):
            if _EXECUTOR in _command(pid):
                memory.jvm += sum(_sizes(pid).values())
            elif pid in daemons:
                sizes = _sizes(pid)
                memory.files += sizes["Pss_File"]
                memory.python += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
                memory.workers += parents[pid] in daemons
    return memory


def _sizes(pid: int) -> dict[str, int]:
    sizes = dict.fromkeys(("Pss_Anon", "Pss_File", "Pss_Shmem"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name = line.partition(":")[0]
        if name in sizes:
            sizes[name] = int(line.split()[1]) << 10
    return sizes


def _parents() -> dict[int, int]:
    """Return the parent of each process."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                fields = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents[int(path.name)] = int(fields[1])
    return parents


def _descendants(root: int, parents: dict[int, int]) -> set[int]:
    """Return a process and all processes below it."""
    pids, children = {root}, {root}
    while children:
        children = {pid for pid, parent in parents.items() if parent in children} - pids
        pids |= children
    return pids


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
