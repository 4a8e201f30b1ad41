"""A query as catalogue: its rows are what tells its state."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.catalogue import tables
from pipeline.config import reading
from pipeline.errors import InputError
from pipeline.runs.request import RunRequest
from pipeline.terminal.progress import Progress


def ingest(folder: Path, title: str) -> tuple[str, int]:
    query = f"SELECT * FROM VALUES ('a', '{title}'), ('b', '青い 靴') AS t(item_id, title)"
    raw = {"store": {"path": str(folder)}, "catalogue": {"query": query}}
    request = RunRequest(last="ingest")
    ((_, status, record),) = request.run(reading.from_mapping(raw), Progress(io.StringIO())).stages
    return status, record.tables["items"]


def test_query_is_read_again_when_its_rows_change(spark: SparkSession, tmp_path: Path) -> None:
    assert ingest(tmp_path, "赤い 靴") == ("done", 2)
    assert ingest(tmp_path, "赤い 靴") == ("reused", 2)
    assert ingest(tmp_path, "白い 靴") == ("done", 2)


def test_rows_that_change_while_they_are_read_leave_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tables.open_snapshot

    def other(*arguments: Any) -> tables.Snapshot:
        return replace(real(*arguments), content="0" * 32)

    monkeypatch.setattr(tables, "open_snapshot", other)
    with pytest.raises(InputError, match=r"catalogue.query SELECT .* changed while it was read"):
        ingest(tmp_path, "赤い 靴")
    assert list((tmp_path / "tables" / "items").iterdir()) == []
