"""A small catalogue in a folder of its own, for runs with models of several kinds."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config import reading as config
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.tables import read_rows

ITEMS = [
    (f"i{n:02}", f"{colour} {thing}", f"a {other} bag" if n % 3 else "")
    for n, (colour, thing, other) in enumerate(
        (colour, thing, other)
        for colour in ("赤い", "青い", "red")
        for thing in ("靴", "鞄", "shoe", "bag")
        for other in ("red", "shoe", "赤い")
    )
]
_TOML = (
    '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n[neighbors]\nk = 3\n'
    "[publish]\nmax_churn = 1\nmin_recall = 0\nmin_rows = 0\nmin_coverage = 0\nmax_without = 1\n"
)
Vectors = dict[str, npt.NDArray[np.float32]]


class Shop:
    """A small catalogue in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.file = folder, folder / "nitamono.toml"
        self.file.write_text(_TOML, encoding="utf-8")
        self.write(ITEMS)

    def write(self, items: list[tuple[str, str, str]]) -> None:
        with (self.folder / "catalogue.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("item_id", "title", "description"), *items])

    def run(self, run_id: str, *sets: str, last: str = "embed") -> Vectors:
        """Run the stages; return the vectors of the items."""
        settings = config.load(self.file, sets, {})
        runner = Runner(settings, run_id, Progress(io.StringIO()), publishing=last == "publish")
        runner.run("ingest", last)
        table = read_rows(Store.of(settings), "embeddings", self.run_json(run_id)["embed"])
        return {row["item_id"]: np.array(row["vector"], np.float32) for row in table}

    def run_json(self, run_id: str) -> dict[str, Any]:
        text = (self.folder / f"store/runs/{run_id}/run.json").read_text("utf-8")
        fingerprints: dict[str, Any] = json.loads(text)["fingerprints"]
        return fingerprints


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def stacked(vectors: Vectors) -> npt.NDArray[np.float32]:
    return np.stack([vectors[item_id] for item_id, _, _ in ITEMS])
