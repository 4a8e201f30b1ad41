"""Files exported side by side, in threads: the first that fails stops the others."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from pipeline.errors import StageError
from pipeline.terminal.progress import StageLine


class StoppedError(StageError):
    """Another file failed, or the command was interrupted: this one was given up."""


class Meter:
    """Counts rows, for the line of progress and for giving up.

    Attributes:
        line: it tells how far the work is.
        total: of all rows; those that were done before count from the start on.
    """

    def __init__(self, line: StageLine, total: int) -> None:
        self.line, self.total = line, total
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._done = self._before = 0
        self._start = time.monotonic()

    def before(self, rows: int) -> None:
        """So many rows were done by an export that was broken off."""
        self._done = self._before = rows

    def add(self, rows: int) -> None:
        """So many rows are done.

        Raises:
            StoppedError: it is time to give up.
        """
        if self._stop.is_set():
            raise StoppedError("export: given up")
        with self._lock:
            self._done += rows
            passed = max(time.monotonic() - self._start, 1e-3)
            speed = (self._done - self._before) / passed
            self.line.note = f"{self._done:,} of {self.total:,} rows, {speed:,.0f} rows/s"

    def stop(self) -> None:
        """Let every file be given up."""
        self._stop.set()


def each(numbers: Sequence[int], do: Callable[[int], None], jobs: int, meter: Meter) -> None:
    """Do something with every file, so many at a time.

    Args:
        numbers: of the files.
        do: is told the number; it calls the meter often.
        jobs: threads.
        meter: is told to stop where one fails or the command is interrupted.

    Raises:
        StageError: what the first raised that failed.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="export") as pool:
        waiting = [pool.submit(do, number) for number in numbers]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            meter.stop()
            for one in waiting:
                one.cancel()
            raise
