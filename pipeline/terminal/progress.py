"""Progress on stderr: a live line for each stage on a terminal; elsewhere plain lines, or JSON."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.redaction import mask
from pipeline.terminal.escapes import escape
from pipeline.terminal.log import LOG, json_line

if TYPE_CHECKING:
    from pyspark import SparkContext

_LIVE_SECONDS = 0.2
_PLAIN_SECONDS = 30.0
_NOTE_SECONDS = 0.5
# The number of a stage in a title: [1/7] ingest.
_NUMBER = re.compile(r"^\[\d+/\d+\]")


class Progress:
    """Reports what a command is doing; nothing else writes to stderr while a stage runs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._json = LOG.format == "json"
        self._live = self._stream.isatty() and not self._json

    def print(self, text: str, event: str = "message", stage: str = "", **numbers: Any) -> None:  # noqa: ANN401 - JSON
        """Print one line.

        Args:
            text: the line; in a log of JSON its field `text`.
            event: what has happened, in a log of JSON.
            stage: the stage that it belongs to, in a log of JSON.
            numbers: further fields of a log of JSON.
        """
        self._emit(event, text, stage, **numbers)

    def event(self, event: str, stage: str = "", **numbers: Any) -> None:  # noqa: ANN401 - JSON
        """Say in a log of JSON what a log of text does not say."""
        self._emit(event, None, stage, **numbers)

    @contextmanager
    def stage(self, title: str) -> "Iterator[StageLine]":
        """Show a stage's line from its start to its end."""
        line = StageLine(title)
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(line, stop), daemon=True)
        if not self._live:
            self._emit("stage_started", f"{title} ...", line.name)
        watcher.start()
        try:
            yield line
        except BaseException:
            self.event("stage_failed", line.name, **line.numbers())
            raise
        finally:
            stop.set()
            watcher.join()
            if self._live:
                self._write("\r\x1b[2K")
        self._emit("stage_ended", line.text(), line.name, **line.numbers())
        for warning in line.warnings:
            self._emit("warning", f"warning: {warning}", line.name)

    def _watch(self, line: "StageLine", stop: threading.Event) -> None:
        while not stop.wait(_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            line.update()
            if self._live:
                self._write(f"\r\x1b[2K{mask(line.text())}")
            else:
                self._emit("stage_progress", line.text(), line.name, **line.numbers())

    def _emit(self, event: str, text: str | None, stage: str = "", **numbers: Any) -> None:  # noqa: ANN401 - JSON
        if self._json:
            self._write(f"{json_line(event, text, stage, **numbers)}\n")
        elif text is not None:
            self._write(f"{mask(escape(text))}\n")

    def _write(self, text: str) -> None:
        # A terminal or a log that has gone away must not end a run.
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


class StageLine:
    """The line of a running stage: its tasks and rows, a note, the time since its start.

    Attributes:
        name: the stage's name.
        note: what the stage is doing, shown in place of tasks and rows.
        tables: number of rows of each table that it wrote, once it is done.
        warnings: lines that are printed when the stage is done.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self.name = _NUMBER.sub("", title).strip()
        self._start = time.monotonic()
        self._context: SparkContext | None = None
        self._group = ""
        self._tasks = (0, 0)
        self._rows = 0
        self.note = ""
        self.tables: dict[str, int] = {}
        self.warnings: list[str] = []

    def follow(self, context: "SparkContext", group: str) -> None:
        """Put Spark's jobs into this group from now on, and count the group's tasks."""
        context.setJobGroup(group, self._title)
        self._context, self._group = context, group

    @property
    def seconds(self) -> float:
        """Seconds since the stage's start."""
        return time.monotonic() - self._start

    def update(self) -> None:
        """Ask Spark for the tasks and rows that are done."""
        if self._context is None:
            return
        # A line of progress must never end a stage.
        with suppress(Exception):
            self._tasks, self._rows = _tasks_and_rows(self._context, self._group)

    def numbers(self) -> dict[str, Any]:
        """The line's numbers, for a log of JSON: seconds, tasks, rows."""
        done, total = self._tasks
        tasks = {"tasks_done": done, "tasks": total, "rows": self._rows} if total else {}
        tables = {"tables": dict(self.tables)} if self.tables else {}
        return {"seconds": round(self.seconds, 3), **tasks, **tables}

    def text(self) -> str:
        """The line: title, tasks and rows, or a note; seconds."""
        done, total = self._tasks
        parts = [f"{self._title:<16}"]
        if total and not self.note:
            parts.append(f"{done}/{total} tasks")
            if self._rows:
                parts.append(f"{self._rows:,} rows")
        if self.note:
            parts.append(self.note)
        return escape("  ".join([*parts, f"{self.seconds:.1f} s"]))


@contextmanager
def updating_note(line: StageLine, note: Callable[[], str]) -> Iterator[None]:
    """Set a line's note from a function, twice a second; clear it at the end."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_NOTE_SECONDS):
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
    """Done and all tasks of a group's jobs, and the rows they wrote."""
    tracker = context.statusTracker()
    done = total = rows = 0
    # PySpark has no public way to the rows that a stage wrote.
    statuses = context._jsc.sc().statusStore() if context._jsc is not None else None
    for job in tracker.getJobIdsForGroup(group):
        job_info = tracker.getJobInfo(job)
        for stage in job_info.stageIds if job_info else ():
            stage_info = tracker.getStageInfo(stage)
            if stage_info is None:
                continue
            done += stage_info.numCompletedTasks
            total += stage_info.numTasks
            if statuses is not None:
                rows += statuses.lastStageAttempt(stage).outputRecords()
    return (done, total), rows
