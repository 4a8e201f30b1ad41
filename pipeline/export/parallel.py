"""Exporting several files at a time, in threads: the first failure stops the others."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from pipeline.errors import StageError
from pipeline.terminal.progress import StageLine


class StoppedError(StageError):
    """The export of a file was given up: another file failed, or the command was interrupted."""


class Meter:
    """Counts exported rows, for the progress line and to stop the threads.

    Attributes:
        line: the progress line.
        total: number of all rows, with those that an earlier, interrupted export has done.
    """

    def __init__(self, line: StageLine, total: int) -> None:
        self.line, self.total = line, total
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._done = self._resumed = 0
        self._start = time.monotonic()

    def resume(self, rows: int) -> None:
        """Start at the number of rows that an interrupted export has done."""
        self._done = self._resumed = rows

    def add(self, rows: int) -> None:
        """Count rows that are done.

        Raises:
            StoppedError: the export is to stop.
        """
        if self._stop.is_set():
            raise StoppedError("export: given up")
        with self._lock:
            self._done += rows
            seconds = max(time.monotonic() - self._start, 1e-3)
            speed = (self._done - self._resumed) / seconds
            self.line.note = f"{self._done:,} of {self.total:,} rows, {speed:,.0f} rows/s"

    def stop(self) -> None:
        """Make the next `add` of every thread raise."""
        self._stop.set()


def for_each_file(
    numbers: Sequence[int], action: Callable[[int], None], jobs: int, meter: Meter
) -> None:
    """Run an action for every file, some of them at the same time.

    Args:
        numbers: numbers of the files.
        action: takes a file's number; it calls the meter's `add` often, so that it can be stopped.
        jobs: number of threads.
        meter: is stopped when an action fails or the command is interrupted.

    Raises:
        StageError: the error of the action that failed first.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="export") as pool:
        futures = [pool.submit(action, number) for number in numbers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            meter.stop()
            for future in futures:
                future.cancel()
            raise
