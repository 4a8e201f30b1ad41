import io
import os
from contextlib import suppress

from pyspark.sql import SparkSession

from pipeline.terminal.progress import Progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_in_a_file_a_stage_is_plain_lines() -> None:
    stream = io.StringIO()
    with Progress(stream).stage("[1/7] ingest") as line:
        line.note = "12 items"
    first, last = stream.getvalue().splitlines()
    assert first == "[1/7] ingest ..."
    assert last.startswith("[1/7] ingest      12 items  ")
    assert "\r" not in stream.getvalue()


def test_warnings_follow_the_line_of_their_stage() -> None:
    stream = io.StringIO()
    with Progress(stream).stage("[1/7] ingest") as line:
        line.warnings.append("odd")
        assert "odd" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1] == "warning: odd"


def test_a_stream_that_has_gone_away_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - of a descriptor
        progress = Progress(stream)
        with progress.stage("[1/7] ingest") as line:
            line.note = "12 items"
        progress.print("more")
        with suppress(BrokenPipeError):
            stream.close()


def test_on_a_terminal_the_line_lives_and_counts_tasks(spark: SparkSession) -> None:
    stream = Terminal()
    with Progress(stream).stage("[1/7] ingest") as line:
        line.follow(spark.sparkContext, "progress-test")
        slow = spark.range(6, numPartitions=6).rdd.map(lambda x: __import__("time").sleep(0.4) or x)
        assert slow.count() == 6
    shown = stream.getvalue()
    assert "/6 tasks" in shown
    assert shown.count("\n") == 1
    assert shown.splitlines()[-1].rpartition("\x1b[2K")[2].startswith("[1/7] ingest")
