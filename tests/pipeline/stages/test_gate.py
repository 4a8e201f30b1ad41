"""What holds a table back."""

import io
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.errors import GateError
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
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
    """A store where nights publish the lists that they are given."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._folder = spark, folder
        self.store = Store(str(folder / "store"))
        self._nights = 0

    def night(
        self, lists: Lists, *sets: str, none: int = 0, model: str = "m", vectors: int = 9
    ) -> Job:
        """A job that has come to publishing these lists; `none` items have no neighbour."""
        self._nights += 1
        version = f"v{self._nights}"
        rows = write_lists(self._spark, self.store, version, lists)
        write_short(self._spark, self.store, version, {f"none{n}": 0 for n in range(none)})
        file = self._folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        job = Job(config.load(file, sets, {}), self.store, f"run{self._nights}")
        recall = {"k": 10, "queries": 5, "value": 1.0, "low": 1.0, "high": 1.0}
        found = {"pairs": rows, "recall": recall, "asked": len(lists) + none}
        made: dict[str, tuple[dict[str, Any], dict[str, int], dict[str, Any]]] = {
            "ingest": ({}, {}, {}),
            "tokenize": ({}, {}, {}),
            "train": ({}, {}, {}),
            "embed": ({"model": model}, {}, {}),
            "index": ({}, {}, {"vectors": vectors}),
            "neighbors": ({}, {"neighbors": len(lists)}, found),
            "publish": ({}, {"similar_items": rows}, {}),
        }
        for stage, (inputs, tables, outputs) in made.items():
            counts = {"carried_rows": 0}
            record = StageRecord(stage, version, job.run_id, inputs, tables, counts, outputs)
            self.store.write_record(record)
            job.set_record(record)
        return job

    def publish(self, lists: Lists, **about: Any) -> None:
        job = self.night(lists, **about)
        publications.publish(self.store, job.run_id, job.fingerprints)

    def held(self, lists: Lists, *sets: str, retrained: bool = False, **about: Any) -> str:
        """What speaks against publishing these lists."""
        job = self.night(lists, *sets, **about)
        return "; ".join(gate.problems(job, gate.measure(job), retrained=retrained))


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def lists(items: int, k: int = 4, shift: int = 0) -> Lists:
    """So many items with k neighbours each, `shift` of which are others."""
    return {f"i{n}": [(f"o{m}", 0.5) for m in range(shift, shift + k)] for n in range(items)}


def test_the_first_version_has_nothing_to_be_compared_with(shop: Shop) -> None:
    job = shop.night(lists(10))
    measured = gate.measure(job)
    assert not gate.needs_spark(job)
    assert measured.counts() == {
        "items_asked": 10,
        "items_without_neighbors": 0,
        "against": None,
    }
    assert gate.problems(job, measured, retrained=False) == []


def test_the_comparison_is_counted(shop: Shop) -> None:
    shop.publish(lists(10))
    job = shop.night(lists(12, shift=1) | {"i0": [("o0", 0.5)]})
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
    job = shop.night(lists(1000, shift=1))
    tables = [shop.store.read(job.spark, "similar_items", version) for version in ("v1", "v2")]
    found = comparison.compare(tables[0], tables[1], 10, most=300)
    assert (found.items_before, found.items, found.rows_before, found.rows) == (
        900,
        1000,
        3600,
        4000,
    )
    assert found.one_in == 4
    assert 180 < found.common < 270
    assert found.entries == 4 * found.common
    assert found.churn == 0.25


def test_a_table_with_far_fewer_rows_or_items_is_held_back(shop: Shop) -> None:
    shop.publish(lists(20))
    said = shop.held(lists(17))
    assert "68 rows, the published version v1 has 80: at least a share of 0.9" in said
    assert "17 items with neighbours" in said
    assert "--set publish.min_rows=0" in said
    assert shop.held(lists(18)) == ""
    assert shop.held(lists(17), "publish.min_rows=0", "publish.min_coverage=0.8") == ""
    thin = {item: best[:2] for item, best in lists(20).items()}
    assert "items with neighbours" not in (said := shop.held(thin))
    assert "40 rows" in said


def test_a_smaller_k_is_no_loss_of_rows(shop: Shop) -> None:
    shop.publish(lists(10, k=10))
    assert shop.held(lists(10, k=3), "neighbors.k=3") == ""


def test_a_night_that_turns_everything_over_is_held_back_unless_told(shop: Shop) -> None:
    shop.publish(lists(10))
    other = lists(10, shift=3)
    said = shop.held(other)
    assert "75% of the neighbours of 10 items were replaced since the published version v1" in said
    assert "at most 50%" in said
    assert "--set publish.max_churn=1" in said
    assert shop.held(other, "publish.max_churn=1") == ""
    assert shop.held(other, retrained=True) == ""
    assert shop.held(lists(10, shift=2)) == ""


def test_a_model_that_changed_unasked_is_named_as_the_cause(shop: Shop) -> None:
    shop.publish(lists(10))
    assert "made with another model" in shop.held(lists(10, shift=4), model="other")
    assert "model" not in shop.held(lists(10, shift=4))


@pytest.mark.parametrize(
    ("none", "vectors", "held"), [(10, 9, False), (11, 9, True), (11, 1, False)]
)
def test_items_without_a_neighbour_are_limited(
    shop: Shop, none: int, vectors: int, held: bool
) -> None:
    said = shop.held(lists(10), none=none, vectors=vectors)
    assert ("11 of 21 items have no neighbour" in said) == held
    assert shop.held(lists(10), "publish.max_without=1", none=none) == ""


def test_a_published_version_that_was_deleted_is_not_compared_with(shop: Shop) -> None:
    shop.publish(lists(10))
    shop.store.discard_version("similar_items", "v1")
    assert shop.held(lists(2)) == ""


@pytest.mark.slow
def test_a_held_back_night_is_published_without_work_when_it_is_accepted(
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
    # Other items hide behind the same ids.
    write_csv([[f"i{n:02d}", words[n // 6], ""] for n in range(30)])
    with pytest.raises(GateError, match="of the neighbours of 30 items were replaced"):
        run()
    latest = store.latest()
    assert latest is not None
    assert latest["version"] == first
    held = max(on_disk(store.root / "runs").iterdir())
    written = read_json(held / "run.json")
    assert written["status"] == "held_back"
    assert written["counts"]["gate"]["churn"] > 0.5
    assert written["counts"]["items"] == 30
    second, statuses = run("publish.max_churn=1")
    assert statuses == ["reused"] * 7
    assert second == written["fingerprints"]["publish"] != first
    # Once it is published the same night is nothing to be compared.
    assert run() == (second, ["reused"] * 7)
