"""A shop whose catalogue is the first rows of the samples; one published run for many tests."""

import csv
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.config import reading as config
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

SAMPLES = Path(__file__).parents[2] / "data_samples"
ITEMS = 400
# The settings of the model, which a test shares to reuse the run.
MODEL = "[model]\nepoch = 2\ndim = 20\n"


@dataclass
class SampleShop:
    """A store, its catalogue, and a way to run it."""

    folder: Path
    catalogue: Path

    @property
    def store(self) -> Store:
        return Store(str(self.folder / "store"))

    def run(
        self, *sets: str, first: str = "ingest", last: str = "publish", **kwargs: Any
    ) -> Outcome:
        return self.runner(*sets).run(first, last, **kwargs)

    def runner(self, *sets: str, publishing: bool = True, full: bool = False) -> Runner:
        file = self.folder / "nitamono.toml"
        file.write_text(
            f'[store]\npath = "store"\n[catalogue]\npath = "{self.catalogue}"\n'
            f"{MODEL}[publish]\nmax_churn = 1.0\n"
        )
        settings, progress = config.load(file, sets, {}), Progress(io.StringIO())
        return Runner(settings, new_run_id(), progress, publishing=publishing, full=full)

    def published(self, table: str = "similar_items") -> dict[str, list[Any]]:
        latest = self.store.latest(table)
        assert latest is not None
        columns: dict[str, list[Any]] = pq.read_table(latest["path"]).to_pydict()
        return columns


def head(source: Path, target: Path, rows: int) -> Path:
    """The first rows of a sample catalogue, with its dirty ones up to there."""
    with (
        source.open(encoding="utf-8", newline="") as file,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        lines = csv.reader(file)
        csv.writer(out).writerows(row for _, row in zip(range(rows + 1), lines, strict=False))
    return target


def publish_samples(folder: Path) -> None:
    """Fill a folder with a catalogue, items.csv, and a store after one exact run over it."""
    SampleShop(folder, head(SAMPLES / "night1.csv", folder / "items.csv", ITEMS)).run()


def copy_shop(published: Path, folder: Path) -> SampleShop:
    """A copy of a shop, its store by hard links: files of a store are replaced, never written to.

    Args:
        published: the folder that `publish_samples` has filled.
        folder: the new folder.
    """
    folder.mkdir()
    shutil.copy2(published / "items.csv", folder)
    shutil.copytree(published / "store", folder / "store", copy_function=os.link)
    return SampleShop(folder, folder / "items.csv")
