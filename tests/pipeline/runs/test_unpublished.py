"""Runs that do not publish, and runs as of an earlier night: what they leave as it was."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.errors import UsageError
from pipeline.runs import summary
from pipeline.runs.record import Outcome
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.places import on_disk

pytestmark = pytest.mark.processes

WORDS = ["赤い 靴", "青い 靴", "赤い 帽子", "革 の 鞄", "布 の 鞄", "白い 皿", "青い 皿"]
QUANTISED = ("index.exact_below=0", "index.nlist=3")


class Shop:
    """A catalogue that changes from night to night, and its store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))

    def catalogue(self, items: range) -> None:
        rows = [f"i{n:02d},{WORDS[n % 7]} {n % 3}" for n in items]
        text = "\n".join(["item_id,title", *rows])
        (self.folder / "catalogue.csv").write_text(text, encoding="utf-8")

    def run(
        self, name: str, *sets: str, last: str = "publish", retrain: bool = False, **options: Any
    ) -> Outcome:
        file = self.folder / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n'
            "[model]\nepoch = 2\ndim = 10\nmin_count = 1\n[neighbors]\nk = 5\n"
        )
        settings = config.load(file, (*QUANTISED, *sets), {})
        runner = Runner(settings, name, Progress(io.StringIO()), **options)
        return runner.run("ingest", last, retrain=retrain)

    def lasting(self) -> dict[str, str]:
        """Everything that says what later runs and readers use."""
        root = self.store.root
        files = (*root.glob("tables/*/LATEST"), *root.glob("*/current/*"))
        return {str(path): path.read_text() for path in files}


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a store after the first night."""
    folder = tmp_path_factory.mktemp("unpublished")
    (folder / "shop").mkdir()
    shop = Shop(folder / "shop")
    shop.catalogue(range(30))
    shop.run("night1")
    shutil.copytree(shop.folder, folder / "first")
    return folder / "first"


@pytest.fixture
def shop(first: Path) -> Shop:
    """It, where it was made: a catalogue of another path or time would be another."""
    folder = first.with_name("shop")
    shutil.rmtree(folder)
    shutil.copytree(first, folder)
    return Shop(folder)


def test_a_run_that_does_not_publish_reuses_and_moves_nothing(shop: Shop) -> None:
    before = shop.lasting()
    outcome = shop.run("test1", "neighbors.k=3", publishing=False)
    assert shop.lasting() == before
    statuses = {name: status for name, status, _ in outcome.stages}
    assert [name for name, status in statuses.items() if status == "done"] == [
        "neighbors",
        "publish",
    ]
    written = json.loads((shop.store.run_path("test1") / "run.json").read_text())
    assert (written["status"], written["published"]) == ("done", None)
    lines = list(summary.run_lines(shop.store, outcome))
    record = outcome.record("publish")
    assert record is not None
    path = shop.store.table_path("similar_items", record.fingerprint)
    assert lines[0] == f"Table       {path}"
    assert "not published: LATEST stays at version " in lines[1]
    assert " of run night1;" in lines[1]
    assert max(pq.read_table(path)["rank"].to_pylist()) == 3


def test_a_model_and_a_quantiser_of_a_run_that_does_not_publish_wait_for_one_that_does(
    shop: Shop,
) -> None:
    before = shop.lasting()
    shop.catalogue(range(2, 34))
    quiet = shop.run("test1", "index.seed=1", retrain=True, publishing=False)
    assert shop.lasting() == before
    model, index = quiet.record("train"), quiet.record("index")
    assert model is not None
    assert index is not None
    assert model.fingerprint not in str(before)
    assert index.outputs["quantiser"] == index.fingerprint
    loud = shop.run("night2", "index.seed=1", retrain=True)
    assert [status for _, status, _ in loud.stages] == ["reused"] * 7
    assert model.fingerprint in str(shop.lasting())
    assert index.fingerprint in str(shop.lasting())


def test_training_alone_makes_its_model_current(shop: Shop) -> None:
    shop.catalogue(range(2, 34))
    outcome = Runner(
        config.load(on_disk(shop.store.root).parent / "nitamono.toml", QUANTISED, {}),
        "train1",
        Progress(io.StringIO()),
        publishing=False,
    )
    shop.run("test1", last="tokenize", publishing=False)
    record = outcome.run("train", "train").record("train")
    assert record is not None
    assert record.run_id == "train1"
    assert record.fingerprint in str(shop.lasting())


def test_as_of_an_earlier_night_its_catalogue_and_model_are_used(shop: Shop) -> None:
    shop.run("before", publishing=False)
    first = shop.run("again", publishing=False)
    shop.catalogue(range(2, 34))
    shop.run("night2", retrain=True)
    before = shop.lasting()
    then = shop.run("then", "neighbors.k=3", as_of_run="night1", publishing=False)
    for stage in ("ingest", "train", "embed", "index"):
        assert then.record(stage) == first.record(stage)
    record = then.record("publish")
    assert record is not None
    rows = shop.store.dataset("similar_items", record.fingerprint).to_table().to_pylist()
    assert {row["item_id"] for row in rows} == {f"i{n:02d}" for n in range(30)}
    assert shop.lasting() == before
    # To publish it does not make that night's model current again.
    shop.run("back", as_of_run="night1")
    changed = {name for name, text in shop.lasting().items() if before.get(name) != text}
    assert all(name.endswith("LATEST") for name in changed)


def test_a_night_that_is_not_whole_any_more_is_refused(shop: Shop) -> None:
    with pytest.raises(UsageError, match=r"--as-of nobody: no such run"):
        shop.run("x", as_of_run="nobody")
    shop.run("short", last="ingest", publishing=False)
    with pytest.raises(UsageError, match="--as-of short: that run ended before train"):
        shop.run("x", as_of_run="short")
    latest = shop.store.latest("items")
    assert latest is not None
    shutil.rmtree(latest["path"])
    with pytest.raises(UsageError, match=r"output of ingest is no longer in the store \(collected"):
        shop.run("x", as_of_run="night1")
