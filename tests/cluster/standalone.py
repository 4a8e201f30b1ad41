"""A standalone Spark cluster on loopback: a master and workers, each a process of its own.

Started from the installed pyspark's own jars. All its processes, executors and their Python
workers too, carry the cluster's folder in their environment; that is how they are found again.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import pyspark

_ROOT = Path(__file__).parents[2]
_MARK = "NITAMONO_TEST_CLUSTER"
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1
_PORT = r"Successfully started service '{}' on port (\d+)"
_EXECUTOR = b"org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PYTHON = b"pyspark.daemon"


class StandaloneCluster:
    """A master and some workers; use it in a `with` statement.

    They end with the process that started them, even where that is killed.

    Attributes:
        folder: where they work: `master.log`, and `worker-N/` with `worker.log` and the folders
            of its executors.
        url: the master's address, spark://...; known once it is started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        cores: int = 1,
        memory_mb: int = 1024,
        env: Mapping[str, str] | None = None,
        prefix: Callable[[int], Sequence[str]] = lambda number: (),
    ) -> None:
        """Say what the cluster has; nothing is started yet.

        Args:
            folder: of its own, made if it is missing.
            workers: how many.
            cores: of each worker.
            memory_mb: that each worker has to give to executors, in MB.
            env: beside os.environ, for workers and so for their executors.
            prefix: of worker N (from 0) what its command is put after: a command that runs its
                arguments in its own place, such as `unshare -m`, or `sh -c 'echo $$ >
                CGROUP/cgroup.procs && exec "$@"' sh`. Its executors are in there with it.
        """
        self.folder = folder.absolute()
        self.url = ""
        self._web = ""
        self._workers, self._cores, self._memory_mb = workers, cores, memory_mb
        self._env, self._prefix = dict(env or {}), prefix
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start it; returns when every worker has registered."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def state(self) -> dict[str, Any]:
        """What the master knows of workers and applications: the JSON of its web page."""
        with urlopen(f"{self._web}/json/", timeout=10) as answer:  # noqa: S310
            known: dict[str, Any] = json.load(answer)
        return known

    def conf(self) -> dict[str, str]:
        """Spark's settings for a driver on this host; executors are waited for."""
        return {
            "spark.master": self.url,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        }

    def processes(self) -> list[int]:
        """The pids of all its processes that live."""
        mark = f"{_MARK}={self.folder}".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if mark in _read(pid, "environ").split(b"\0")]

    def executors(self) -> list[int]:
        """The pids of the executors that live, the oldest first."""
        return self._having(_EXECUTOR)

    def python_workers(self) -> list[int]:
        """The pids of the executors' Python processes, the oldest first."""
        return self._having(_PYTHON)

    def worker_of(self, pid: int) -> int:
        """The number of the worker that an executor or a Python process belongs to."""
        found = re.search(rb"\0NITAMONO_TEST_WORKER=(\d+)\0", b"\0" + _read(pid, "environ"))
        assert found is not None, pid
        return int(found[1])

    def stop(self) -> None:
        """End all processes, and see that they have ended."""
        for process in self._processes:
            # A worker's executors are in its process group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        until = time.monotonic() + _STOP_SECONDS
        while left := self.processes():
            # Python workers end when they find that their executor has.
            if time.monotonic() > until:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "master.log"
        self._launch(log, {}, "master.Master", "--port", "0", "--webui-port", "0")
        self.url = f"spark://127.0.0.1:{self._logged(log, _PORT.format('sparkMaster'))}"
        self._web = f"http://127.0.0.1:{self._logged(log, _PORT.format('MasterUI'))}"
        for number in range(self._workers):
            self._start_worker(number)
        self._wait(self._has_all_workers, "a worker does not register")

    def _start_worker(self, number: int) -> None:
        folder = self.folder / f"worker-{number}"
        (folder / "local").mkdir(parents=True, exist_ok=True)
        env = self._env | {
            "NITAMONO_TEST_WORKER": str(number),
            # Spark's own temporary files: an executor sees none of another worker's.
            "SPARK_LOCAL_DIRS": str(folder / "local"),
        }
        arguments = ("--cores", str(self._cores), "--memory", f"{self._memory_mb}m")
        places = ("--work-dir", str(folder), "--port", "0", "--webui-port", "0")
        prefix = tuple(self._prefix(number))
        log = folder / "worker.log"
        self._launch(log, env, "worker.Worker", *arguments, *places, self.url, prefix=prefix)

    def _has_all_workers(self) -> bool:
        return int(self.state()["aliveworkers"]) == self._workers

    def _launch(
        self,
        log: Path,
        env: dict[str, str],
        name: str,
        *arguments: str,
        prefix: Sequence[str] = (),
    ) -> None:
        home = Path(pyspark.__file__).parent
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}"]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*prefix, *command, "--host", "127.0.0.1", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=log.parent,
                env=self._environment() | env,
                process_group=0,
                preexec_fn=_end_with_parent,
            )
        self._processes.append(process)

    def _environment(self) -> dict[str, str]:
        # Nothing that was meant for another Spark on this machine.
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
        return mine | {
            _MARK: str(self.folder),
            # Executors import what tests give them.
            "PYTHONPATH": str(_ROOT),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_CONF_DIR": str(_ROOT / "tests" / "spark"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }

    def _logged(self, log: Path, pattern: str) -> str:
        found: list[str] = []

        def look() -> bool:
            found.extend(re.findall(pattern, log.read_text(errors="replace")))
            return bool(found)

        self._wait(look, f"nothing like {pattern} in {log}")
        return found[-1]

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while not ready():
            dead = [process for process in self._processes if process.poll() is not None]
            if dead or time.monotonic() > until:
                logs = sorted(self.folder.glob("**/*er.log"))
                tails = [f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in logs]
                raise RuntimeError("\n".join([what, *tails]))
            time.sleep(0.05)

    def _having(self, word: bytes) -> list[int]:
        found = [pid for pid in self.processes() if word in _read(pid, "cmdline")]
        return sorted(found, key=lambda pid: (_started(pid), pid))


def _read(pid: int, name: str) -> bytes:
    """A file of /proc of a process; empty where that has ended, or is another user's."""
    try:
        return (Path("/proc") / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _started(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[19]) if fields else 0


_libc = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    """Ask the system to kill this process when the one that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
