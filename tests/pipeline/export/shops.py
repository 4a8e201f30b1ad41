"""A store with generated similar-item tables in several files, and exports of them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cli.main import execute
from pipeline.errors import NitamonoError
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

SCHEMA = pa.schema(
    {"item_id": pa.string(), "rank": pa.int32(), "similar_id": pa.string(), "score": pa.float32()}
)
Row = tuple[str, int, str, float | None]
K = 10


def make_rows(items: Sequence[str], version: int, k: int = K) -> list[Row]:
    """A list of k for each item; the similar ids and the scores tell the version."""
    return [
        (item, rank, f"{item}-{version}-{rank}", version / 16 - rank / 1024)
        for item in sorted(items, key=str.encode)
        for rank in range(1, k + 1)
    ]


def with_filled(rows: list[Row]) -> list[Row]:
    """Rows of which some have no score, as what fills a list has none."""
    return [
        (item, rank, other, None if rank > 1 and item.endswith("3") else score)
        for item, rank, other, score in rows
    ]


class Shop:
    """A store in a folder, with a config beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))
        self.config = folder / "nitamono.toml"
        self.config.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')

    def publish(self, version: str, rows: Sequence[Row], files: int = 1) -> list[Row]:
        """Write a version in several files, which may cut a list in two, and point LATEST at it."""
        folder = on_disk(self.store.table_path("similar_items", version))
        folder.mkdir(parents=True)
        table = pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA)
        size = -(-len(rows) // files)
        for number in range(files):
            part = table.slice(number * size, size)
            path = folder / f"part-{number:05d}-{version}.parquet"
            pq.write_table(part, path, row_group_size=max(1, size // 2))
        self.store.set_latest("similar_items", version, f"run-{version}")
        return list(rows)

    def command(self, *arguments: str) -> list[str]:
        """The command line that exports in a separate process."""
        program = (
            sys.executable,
            "-m",
            "pipeline.cli.main",
            "export",
            "--config",
            str(self.config),
        )
        return [*program, *arguments]

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start an export in a separate process."""
        return subprocess.Popen(
            self.command(*arguments), env={**os.environ, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def export(self, *arguments: str, **environment: str) -> "ExportResult":
        """Export in this process, which takes less time than to start another one."""
        out, error, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, environment),
            redirect_stdout(out),
            redirect_stderr(error),
        ):
            try:
                execute(["export", "--config", str(self.config), *arguments])
            except NitamonoError as failure:
                code = failure.exit_code
                error.write(f"nitamono: {failure}\n")
        return ExportResult(code, out.getvalue(), error.getvalue())

    def run(self, *arguments: str, **environment: str) -> "ExportResult":
        """Export in a separate process, and wait for its end."""
        process = self.start(*arguments, **environment)
        out, error = process.communicate(timeout=120)
        return ExportResult(process.returncode, out, error)


class ExportResult:
    """How an export ended: its exit code and what it wrote to stdout and stderr."""

    def __init__(self, code: int, out: str, error: str) -> None:
        self.code, self.out, self.error = code, out, error

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        return self.error.splitlines()[-1]

    def json(self) -> Mapping[str, Any]:
        """The JSON object that it printed."""
        assert self.code == 0, self.error
        summary: dict[str, Any] = json.loads(self.out)
        return summary
