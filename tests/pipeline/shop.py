"""A published catalogue with some items left out, and the night that includes them."""

import csv
import io
import json
import random
from dataclasses import asdict, replace
from pathlib import Path

from data_samples.make_samples import Item, catalogue
from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.query.published import Published
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.tables import read_rows

Lists = dict[str, list[tuple[str, float]]]
ITEMS, LEFT_OUT, K = 240, 8, 5
# Lists by a quantiser, every kind of rule, and boosts. What is left out has no stock: it is in no
# list.
RULES = (
    "index.exact_below=0",
    "index.nlist=8",
    "neighbors.nprobe=2",
    "neighbors.max_probes=6",
    "rules.eligible='stock > 0'",
    "rules.query=\"brand <> 'ハヤテ'\"",
    "rules.same=['category']",
    "rules.collapse=group_id",
    "rules.max_per={brand = 2}",
    "rules.price_ratio=[0.3, 3.0]",
    "rules.max_score=0.995",
    "rank.same={brand = 0.1, stock = -0.05}",
    "rank.price={weight = 0.2}",
)
_TOML = (
    '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n'
    f"[model]\nepoch = 2\ndim = 10\nmin_count = 1\n[neighbors]\nk = {K}\n"
    "[publish]\nmax_churn = 1\nmin_recall = 0\nmin_rows = 0\nmin_coverage = 0\nmax_without = 1\n"
)


class Shop:
    """A store with two kinds of lists, exact and by RULES, before and after some items came.

    Attributes:
        left: the items that are left out of the first catalogue.
        file: the config.
        store: the store.
    """

    def __init__(self, folder: Path) -> None:
        rng = random.Random(4)  # noqa: S311 - sample data
        items = catalogue(rng, ITEMS)
        chosen = sorted(rng.sample(range(ITEMS), LEFT_OUT))
        items = [replace(item, stock="0") if n in chosen else item for n, item in enumerate(items)]
        # One is asked for by name: the shop gives its brand no list.
        items[chosen[0]] = replace(items[chosen[0]], brand="ハヤテ")
        self.left = [items[n] for n in chosen]
        self.folder, self.file = folder, folder / "nitamono.toml"
        self.file.write_text(_TOML, encoding="utf-8")
        dirt = [replace(items[0], item_id="EMPTY", title="", description=""),
                replace(items[0], item_id="MARKS", title="！？", description="")]  # fmt: skip
        some = [item for n, item in enumerate(items) if n not in chosen]
        self.write("catalogue.csv", some + dirt)
        self.run("rules", *RULES)
        self.run("exact")
        self.write("catalogue.csv", items + dirt)
        self.run("exact_with", last="neighbors")
        self.run("rules_with", *RULES, last="neighbors")
        self.write("catalogue.csv", some + dirt)
        self.store = Store.of(self.config())

    def write(self, name: str, items: list[Item]) -> Path:
        """Write items as a CSV file."""
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, asdict(items[0]).keys())
            writer.writeheader()
            writer.writerows(asdict(item) for item in items)
        return path

    def config(self, *sets: str) -> Config:
        """The config."""
        return config.load(self.file, sets, {})

    def run(self, run_id: str, *sets: str, last: str = "publish") -> None:
        """Run all stages up to the last, and publish if that is the one."""
        publishing = last == "publish"
        runner = Runner(self.config(*sets), run_id, Progress(io.StringIO()), publishing=publishing)
        runner.run("ingest", last)

    def published(self, run_id: str) -> Published:
        """What a run made."""
        return Published.of(self.store, run_id)

    def lists(self, run_id: str) -> Lists:
        """The k neighbours that a run found for each item."""
        run = json.loads((self.folder / f"store/runs/{run_id}/run.json").read_text("utf-8"))
        rows = read_rows(self.store, "neighbors", run["fingerprints"]["neighbors"])
        return {
            row["item_id"]: [(one["similar_id"], one["score"]) for one in row["neighbors"][:K]]
            for row in rows
            if row["neighbors"]
        }
