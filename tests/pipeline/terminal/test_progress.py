import io
import json
import os
from contextlib import suppress
from datetime import datetime

import pytest
from pyspark.sql import SparkSession

from pipeline.terminal.log import LOG
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


def test_in_a_log_of_json_every_line_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOG, "format", "json")
    monkeypatch.setattr(LOG, "run_id", "night1")
    stream = Terminal()
    progress = Progress(stream)
    with progress.stage("[1/7] ingest") as line:
        line.tables = {"items": 12}
        line.warnings.append("odd \x1b[2J 本")
    with suppress(KeyError), progress.stage("      the gate"):
        raise KeyError
    progress.print('password="hush-hush"', made_by="night0")
    events = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [(event["event"], event["stage"]) for event in events] == [
        ("stage_started", "ingest"),
        ("stage_ended", "ingest"),
        ("warning", "ingest"),
        ("stage_started", "the gate"),
        ("stage_failed", "the gate"),
        ("message", None),
    ]
    assert all(event["run_id"] == "night1" for event in events)
    assert all(datetime.fromisoformat(event["time"]).tzinfo for event in events)
    assert events[1]["tables"] == {"items": 12}
    assert 0 <= events[1]["seconds"] < 5
    assert events[2]["text"] == "warning: odd \x1b[2J 本"
    assert events[5]["made_by"] == "night0"
    assert "\x1b" not in stream.getvalue()
    assert "hush-hush" not in stream.getvalue()
