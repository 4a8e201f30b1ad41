"""Runs of the sample catalogue, and what is looked at of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.files import read_json
from tests.cluster.conftest import ROOT, Submit
from tests.cluster.standalone import StandaloneCluster

CONFIG = ROOT / "data_samples" / "nitamono.toml"
WATCHED = ROOT / "tests" / "cluster" / "watched_run.py"
KEYS = {"embeddings": ("item_id",), "similar_items": ("item_id", "rank")}
# Batches of 100 items: a task that embeds has several, and can be killed between two.
SMALL = {"spark.sql.execution.arrow.maxRecordsPerBatch": "100"}


@dataclass
class Run:
    """A store after a run, what the run's watcher noted, and what it wrote to stderr."""

    store: Path
    notes: Path
    stderr: str = ""

    def folder(self, table: str) -> Path:
        """That of the published version of a table."""
        return Path(read_json(self.store / "tables" / table / "LATEST")["path"])

    def table(self, name: str) -> pa.Table:
        """The published version of a table, sorted."""
        order = [(key, "ascending") for key in KEYS[name]]
        return pq.read_table(self.folder(name)).sort_by(order)

    def models(self) -> list[str]:
        """The sha256 of each model of the store."""
        return [read_json(path)["sha256"] for path in self.store.glob("models/*/model.json")]

    def noted(self, pattern: str) -> list[Any]:
        """The watcher's notes of such names."""
        return [json.loads(path.read_text()) for path in sorted(self.notes.glob(pattern))]

    def lost(self) -> set[str]:
        """The executors that Spark says it has lost to SIGKILL."""
        found = re.findall(r"Lost executor (\d+) on \S+ Command exited with code 137", self.stderr)
        return set(found)


def sample(store: Path, *sets: str) -> list[str | Path]:
    """The arguments of the sample run with a store of its own."""
    told = [text for each in (f"store.path={store}", *sets) for text in ("--set", each)]
    return ["run", "--config", CONFIG, "--run-id", "r", *told]


def killed(
    submit: Submit,
    cluster: StandaloneCluster,
    folder: Path,
    places: dict[str, int],
    *sets: str,
    conf: Mapping[str, str] = SMALL,
) -> Run:
    """The sample run on a cluster, with an executor killed in each of the places.

    Args:
        submit: the fixture.
        cluster: where it runs.
        folder: its store is `store` in it, which may be there already.
        places: see watched_run.
        sets: settings.
        conf: Spark's settings beside those of the cluster.
    """
    run = Run(folder / "store", folder / "notes")
    run.notes.mkdir(parents=True)
    told = ",".join(f"{place}:{after}" for place, after in places.items())
    arguments = (run.notes, told, *sample(run.store, *sets))
    done = submit(cluster, *arguments, entry=WATCHED, conf=conf)
    assert done.returncode == 0, done.stdout[-3000:]
    run.stderr = done.stderr
    return run


def check_kills(run: Run, places: dict[str, int]) -> None:
    """See that an executor was killed in each of the places, in the middle of its work."""
    for place, after in places.items():
        (note,) = run.noted(f"killed-{place}.json")
        if place != "join":
            # It had written its file in part, or wholly and not told of it.
            assert list(note["files"].values()) == [after == 0]
        if place in KEYS:
            assert not note["files"].keys() & {path.name for path in run.folder(place).iterdir()}
    assert len(run.lost()) == len(places)
