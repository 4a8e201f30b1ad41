"""The reasons for which the gate holds a table back."""

import io
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.errors import GateError
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.stages import NAMES
from pipeline.stages.context import Job
from pipeline.stages.publish import comparison, gate
from pipeline.storage.files import read_json
from pipeline.store import publications
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.conftest import WriteCsv
from tests.pipeline.places import on_disk
from tests.pipeline.tables import Lists, write_lists, write_short


class Shop:
    """A store in which runs publish given lists."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._folder = spark, folder
        self.store = Store(str(folder / "store"))
        self._runs = 0

    def job(
        self, lists: Lists, *sets: str, none: int = 0, model: str = "m", vectors: int = 9
    ) -> Job:
        """A job before publishing these lists; `none` more items have no neighbour."""
        self._runs += 1
        version = f"v{self._runs}"
        rows = write_lists(self._spark, self.store, version, lists)
        write_short(self._spark, self.store, version, {f"none{n}": 0 for n in range(none)})
        file = self._folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        job = Job(config.load(file, sets, {}), self.store, f"run{self._runs}")
        recall = {"k": 10, "queries": 5, "value": 1.0, "low": 1.0, "high": 1.0}
        neighbors = {"pairs": rows, "recall": recall, "asked": len(lists) + none}
        stages: dict[str, tuple[dict[str, Any], dict[str, int], dict[str, Any]]] = {
            "ingest": ({}, {}, {}),
            "tokenize": ({}, {}, {}),
            "train": ({}, {}, {}),
            "embed": ({"model": model}, {}, {}),
            "index": ({}, {}, {"vectors": vectors}),
            "neighbors": ({}, {"neighbors": len(lists)}, neighbors),
            "publish": ({}, {"similar_items": rows}, {}),
        }
        for stage, (inputs, tables, outputs) in stages.items():
            counts = {"carried_rows": 0, "rows_read": 100, "quarantined": 5}
            record = StageRecord(stage, version, job.run_id, inputs, tables, counts, outputs)
            self.store.write_record(record)
            job.set_record(record)
        return job

    def publish(self, lists: Lists, **options: Any) -> None:
        job = self.job(lists, **options)
        stages = {stage: job.record(stage).fingerprint for stage in NAMES}
        publications.publish(self.store, job.run_id, stages)

    def problems(self, lists: Lists, *sets: str, retrained: bool = False, **options: Any) -> str:
        """The reasons to hold these lists back."""
        job = self.job(lists, *sets, **options)
        return "; ".join(gate.problems(job, gate.measure(job), retrained=retrained))


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def lists(items: int, k: int = 4, shift: int = 0) -> Lists:
    """Items with k neighbours each; `shift` of them differ from those without a shift."""
    return {f"i{n}": [(f"o{m}", 0.5) for m in range(shift, shift + k)] for n in range(items)}


def test_the_first_version_is_compared_with_nothing(shop: Shop) -> None:
    job = shop.job(lists(10))
    measured = gate.measure(job)
    assert not gate.needs_spark(job)
    assert measured.counts() == {
        "items_asked": 10,
        "items_without_neighbors": 0,
        "against": None,
    }
    assert gate.problems(job, measured, retrained=False) == []


def test_the_comparison_is_in_the_counts(shop: Shop) -> None:
    shop.publish(lists(10))
    job = shop.job(lists(12, shift=1) | {"i0": [("o0", 0.5)]})
    assert gate.measure(job).counts() == {
        "items_asked": 12,
        "items_without_neighbors": 0,
        "against": "v1",
        "items_before": 10,
        "items": 12,
        "rows_before": 40,
        "rows": 45,
        "one_in": 1,
        "common": 10,
        "entries": 40,
        "replaced": 9 + 3,
        "churn": 0.3,
        "new_model": False,
    }


def test_of_many_items_a_sample_is_compared_and_all_are_counted(shop: Shop) -> None:
    shop.publish(lists(900))
    job = shop.job(lists(1000, shift=1))
    tables = [shop.store.read(job.spark, "similar_items", version) for version in ("v1", "v2")]
    change = comparison.compare(tables[0], tables[1], 10, max_items=300)
    assert (change.items_before, change.items, change.rows_before, change.rows) == (
        900,
        1000,
        3600,
        4000,
    )
    assert change.one_in == 4
    assert 180 < change.common < 270
    assert change.entries == 4 * change.common
    assert change.churn == 0.25


def test_a_table_with_far_fewer_rows_or_items_is_held_back(shop: Shop) -> None:
    shop.publish(lists(20))
    problems = shop.problems(lists(17))
    assert "68 rows, the published version v1 has 80: at least a share of 0.9" in problems
    assert "17 items with neighbours" in problems
    assert "--set publish.min_rows=0" in problems
    assert shop.problems(lists(18)) == ""
    assert shop.problems(lists(17), "publish.min_rows=0", "publish.min_coverage=0.8") == ""
    thin = {item: best[:2] for item, best in lists(20).items()}
    assert "items with neighbours" not in (problems := shop.problems(thin))
    assert "40 rows" in problems


def test_a_smaller_k_is_no_loss_of_rows(shop: Shop) -> None:
    shop.publish(lists(10, k=10))
    assert shop.problems(lists(10, k=3), "neighbors.k=3") == ""


def test_a_run_that_replaces_most_neighbours_is_held_back_unless_allowed(shop: Shop) -> None:
    shop.publish(lists(10))
    other = lists(10, shift=3)
    problems = shop.problems(other)
    assert (
        "75% of the neighbours of 10 items were replaced since the published version v1" in problems
    )
    assert "at most 50%" in problems
    assert "--set publish.max_churn=1" in problems
    assert shop.problems(other, "publish.max_churn=1") == ""
    assert shop.problems(other, retrained=True) == ""
    assert shop.problems(lists(10, shift=2)) == ""


def test_another_model_is_named_as_the_cause(shop: Shop) -> None:
    shop.publish(lists(10))
    assert "made with another model" in shop.problems(lists(10, shift=4), model="other")
    assert "model" not in shop.problems(lists(10, shift=4))


@pytest.mark.parametrize(
    ("none", "vectors", "is_held_back"), [(10, 9, False), (11, 9, True), (11, 1, False)]
)
def test_items_without_a_neighbour_are_limited(
    shop: Shop, none: int, vectors: int, is_held_back: bool
) -> None:
    problems = shop.problems(lists(10), none=none, vectors=vectors)
    assert ("11 of 21 items have no neighbour" in problems) == is_held_back
    assert shop.problems(lists(10), "publish.max_without=1", none=none) == ""


def test_a_published_version_that_was_deleted_is_not_compared_with(shop: Shop) -> None:
    shop.publish(lists(10))
    shop.store.discard_version("similar_items", "v1")
    assert shop.problems(lists(2)) == ""


@pytest.mark.slow
def test_a_table_held_back_is_published_without_recomputing_once_it_is_allowed(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    store = Store(str(tmp_path / "store"))

    def run(*sets: str) -> tuple[str | None, list[str]]:
        file = tmp_path / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n'
            "[model]\nepoch = 2\ndim = 10\nmin_count = 1\n[neighbors]\nk = 5\n"
        )
        runner = Runner(config.load(file, sets, {}), new_run_id(), Progress(io.StringIO()))
        outcome = runner.run("ingest", "publish")
        return outcome.version, [status for _, status, _ in outcome.stages]

    words = ["赤い 靴", "青い 帽子", "革 の 鞄", "白い 皿", "布 の 鞄"]
    write_csv([[f"i{n:02d}", words[n % 5], ""] for n in range(30)])
    first, _ = run()
    # The same ids, with other items.
    write_csv([[f"i{n:02d}", words[n // 6], ""] for n in range(30)])
    with pytest.raises(GateError, match="of the neighbours of 30 items were replaced"):
        run()
    latest = store.latest()
    assert latest is not None
    assert latest["version"] == first
    held_back = max(on_disk(store.root / "runs").iterdir())
    written = read_json(held_back / "run.json")
    assert written["status"] == "held_back"
    assert written["counts"]["gate"]["churn"] > 0.5
    assert written["counts"]["items"] == 30
    second, statuses = run("publish.max_churn=1")
    assert statuses == ["reused"] * 7
    assert second == written["fingerprints"]["publish"] != first
    # Once it is published, the same run has nothing to compare with.
    assert run() == (second, ["reused"] * 7)
