"""Memory of Spark's processes, each shared page counted once: Linux's proportional set size."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import Watcher, command, descendants, parents

_EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PYTHON = "pyspark.worker"


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


class Sampler(Watcher):
    """Measures the executors below this process every second.

    Attributes:
        peak: the measurement with the largest sum.
        maxima: the maximum of each part, each at its own time.
    """

    SECONDS = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.peak, self.maxima = Memory(), Memory()

    def look(self) -> None:
        """Measure once."""
        current = executor_memory(os.getpid())
        self.peak = max(self.peak, current, key=lambda memory: memory.total)
        parts = asdict(current)
        maxima = asdict(self.maxima)
        self.maxima = Memory(**{name: max(maxima[name], parts[name]) for name in parts})


def executor_memory(root: int) -> Memory:
    """Measure the memory of the executors below a process."""
    memory = Memory()
    above = parents()
    daemons = {pid for pid in above if _PYTHON in command(pid)}
    for pid in descendants(root, above):
        with suppress(OSError):
            if _EXECUTOR in command(pid):
                memory.jvm += sum(_sizes(pid).values())
            elif pid in daemons:
                sizes = _sizes(pid)
                memory.files += sizes["Pss_File"]
                memory.python += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
                memory.workers += above[pid] in daemons
    return memory


def _sizes(pid: int) -> dict[str, int]:
    sizes = dict.fromkeys(("Pss_Anon", "Pss_File", "Pss_Shmem"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name = line.partition(":")[0]
        if name in sizes:
            sizes[name] = int(line.split()[1]) << 10
    return sizes
