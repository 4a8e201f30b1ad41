"""Progress on stderr: one live line a stage on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pyspark import SparkContext

_LIVE_SECONDS = 0.2
_PLAIN_SECONDS = 30.0
_WATCH_SECONDS = 0.5


class Progress:
    """Says what happens. Nothing else writes to stderr while a stage is under way."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()

    def say(self, text: str) -> None:
        """Print one line."""
        self._write(f"{text}\n")

    @contextmanager
    def stage(self, title: str) -> "Iterator[StageLine]":
        """The line of one stage, from its start to its end."""
        line = StageLine(title)
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(line, stop), daemon=True)
        if not self._live:
            self.say(f"{title} ...")
        watcher.start()
        try:
            yield line
        finally:
            stop.set()
            watcher.join()
            if self._live:
                self._write("\r\x1b[2K")
        self.say(line.text())

    def _watch(self, line: "StageLine", stop: threading.Event) -> None:
        while not stop.wait(_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            line.look()
            self._write(f"\r\x1b[2K{line.text()}" if self._live else f"{line.text()}\n")

    def _write(self, text: str) -> None:
        # Nor must a terminal or a log that has gone away end a night.
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


class StageLine:
    """What is known of a stage under way."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = time.monotonic()
        self._context: SparkContext | None = None
        self._group = ""
        self._tasks = (0, 0)
        self._rows = 0
        self.note = ""

    def follow(self, context: "SparkContext", group: str) -> None:
        """Count the tasks of the Spark jobs of this group from now on."""
        context.setJobGroup(group, self._title)
        self._context, self._group = context, group

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._start

    def look(self) -> None:
        """Ask Spark how far it is."""
        if self._context is None:
            return
        # A line of progress must never end a stage.
        with suppress(Exception):
            self._tasks, self._rows = _tasks_and_rows(self._context, self._group)

    def text(self) -> str:
        """The line: title, tasks, rows or a note, seconds."""
        done, total = self._tasks
        parts = [f"{self._title:<16}"]
        if total and not self.note:
            parts.append(f"{done}/{total} tasks")
            if self._rows:
                parts.append(f"{self._rows:,} rows")
        if self.note:
            parts.append(self.note)
        return "  ".join([*parts, f"{self.seconds:.1f} s"])


@contextmanager
def watched(line: StageLine, note: Callable[[], str]) -> Iterator[None]:
    """While something runs, its line says what `note` gives, asked twice a second."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_WATCH_SECONDS):
            line.note = note()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        line.note = ""


def _tasks_and_rows(context: "SparkContext", group: str) -> tuple[tuple[int, int], int]:
    tracker = context.statusTracker()
    done = total = rows = 0
    statuses = context._jsc.sc().statusStore() if context._jsc is not None else None
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info else ():
            stage_info = tracker.getStageInfo(stage)
            if stage_info is None:
                continue
            done += stage_info.numCompletedTasks
            total += stage_info.numTasks
            if statuses is not None:
                rows += statuses.lastStageAttempt(stage).outputRecords()
    return (done, total), rows
