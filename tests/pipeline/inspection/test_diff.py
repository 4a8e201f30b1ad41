"""What changed between two versions, against the same counted in plain Python."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cli import diff as diff_verb
from pipeline.errors import UsageError
from pipeline.inspection.diff import MOST_CHANGED, diff
from pipeline.store.resolve import resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline import fakes
from tests.pipeline.tables import Lists, write_items, write_lists

BEFORE: Lists = {
    "same": [("a", 0.9), ("b", 0.8)],
    "order": [("a", 0.9), ("b", 0.9)],
    "half": [("a", 0.9), ("b", 0.5), ("c", 0.4)],
    "all": [("a", 0.9), ("b", 0.8)],
    "longer": [("a", 0.5)],
    "gone": [("a", 0.9)],
}
AFTER: Lists = {
    "same": [("a", 0.9), ("b", 0.8)],
    "order": [("b", 0.9), ("a", 0.9)],
    "half": [("a", 0.9), ("d", 0.7), ("c", 0.4)],
    "all": [("x", 0.4), ("y", 0.3)],
    "longer": [("a", 0.5), ("b", 0.25)],
    "new": [("a", 0.9)],
}


def shop(spark: SparkSession, folder: Path, before: Lists, after: Lists) -> Store:
    """Two runs, one and two, with k 3 and 5, and their tables v1 and v2."""
    store = Store(str(folder / "store"))
    for run, version, lists, k in (("one", "v1", before, 3), ("two", "v2", after, 5)):
        write_lists(spark, store, version, lists)
        items = {item: f"題名 {item} {run}" for item in {**before, **after} if item not in "xy"}
        write_items(spark, store, version, items)
        store.write_record(StageRecord("publish", version, run, {}, {"similar_items": 1}))
        settings = {"neighbors": {"k": k, "seed": 0}, "spark": {}}
        fingerprints = {"ingest": version, "publish": version}
        fakes.write_run_json(store, run, settings=settings, fingerprints=fingerprints)
    return store


def test_the_sums_and_the_items_that_changed_most(spark: SparkSession, tmp_path: Path) -> None:
    store = shop(spark, tmp_path, BEFORE, AFTER)
    changes = diff(spark, store, resolve(store, "one"), resolve(store, "v2"), 10)
    assert (changes["items_before"], changes["items_after"]) == (6, 6)
    counts = [changes[name] for name in ("added", "gone", "common", "changed")]
    assert counts == [1, 1, 5, 4]
    assert changes["mean_overlap"] == pytest.approx((1 + 1 + 2 / 3 + 0 + 1 / 2) / 5, abs=1e-4)
    shifts = {"half": 0.2 / 3, "all": -0.5, "longer": -0.125, "order": 0.0}
    assert changes["score_shift"] == pytest.approx(sum(shifts.values()) / 5, abs=1e-5)
    most = changes["most_changed"]
    assert [item["item_id"] for item in most] == ["all", "longer", "half", "order"]
    for item in most:
        assert item["score_shift"] == pytest.approx(shifts[item["item_id"]], abs=1e-5)
        assert item["title"] == f"題名 {item['item_id']} two"
        for name, lists in (("before", BEFORE), ("after", AFTER)):
            shown = [(entry["similar_id"], entry["score"]) for entry in item[name]]
            assert shown == [
                (i, pytest.approx(score, abs=1e-4)) for i, score in lists[item["item_id"]]
            ]
    assert changes["settings"] == [{"setting": "neighbors.k", "before": 3, "after": 5}]
    lines = list(diff_verb.lines(changes))
    assert "setting     neighbors.k: 3 -> 5" in lines
    assert "items       6 before, 6 after: 1 added, 1 gone, 5 in both" in lines


def test_ranks_beyond_k_do_not_count(spark: SparkSession, tmp_path: Path) -> None:
    store = shop(spark, tmp_path, BEFORE, AFTER)
    changes = diff(spark, store, resolve(store, "one"), resolve(store, "two"), 1)
    assert changes["changed"] == 2
    assert {item["item_id"] for item in changes["most_changed"]} == {"order", "all"}
    assert all(len(item["before"]) == len(item["after"]) == 1 for item in changes["most_changed"])


def test_only_the_twenty_most_changed_items_are_listed(spark: SparkSession, tmp_path: Path) -> None:
    before: Lists = {f"i{n:02d}": [(f"o{m}", 0.5) for m in range(50)] for n in range(40)}
    after: Lists = {f"i{n:02d}": [(f"o{m + n}", 0.5) for m in range(50)] for n in range(40)}
    store = shop(spark, tmp_path, before, after)
    changes = diff(spark, store, resolve(store, "one"), resolve(store, "two"), 50)
    assert changes["changed"] == 39
    listed = [item["item_id"] for item in changes["most_changed"]]
    assert listed == [f"i{n:02d}" for n in range(39, 39 - MOST_CHANGED, -1)]


def test_a_version_and_itself_do_not_differ(spark: SparkSession, tmp_path: Path) -> None:
    store = shop(spark, tmp_path, BEFORE, AFTER)
    changes = diff(spark, store, resolve(store, "one"), resolve(store, "one"), 10)
    assert (changes["changed"], changes["mean_overlap"], changes["score_shift"]) == (0, 1.0, 0.0)
    assert (changes["settings"], changes["most_changed"]) == ([], [])


def test_versions_that_share_no_item(spark: SparkSession, tmp_path: Path) -> None:
    store = shop(spark, tmp_path, {"a": [("b", 0.5)]}, {"c": [("d", 0.5)]})
    changes = diff(spark, store, resolve(store, "one"), resolve(store, "two"), 10)
    assert (changes["added"], changes["gone"], changes["common"]) == (1, 1, 0)
    assert changes["mean_overlap"] is None
    assert not any("lists" in line for line in diff_verb.lines(changes))


def test_titles_that_are_gone_are_left_out(spark: SparkSession, tmp_path: Path) -> None:
    store = shop(spark, tmp_path, BEFORE, AFTER)
    one, two = resolve(store, "one"), resolve(store, "two")
    for version in ("v1", "v2"):
        store.discard_version("items", version)
    changes = diff(spark, store, one, two, 10)
    assert {item["title"] for item in changes["most_changed"]} == {None}
    assert list(diff_verb.lines(changes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "nobody is no run or version in .*the last runs are run"),
        ("../v1", "no name of a run or version"),
        ("early", "run early did not come to a similar-item table"),
        ("LATEST", "nothing is published"),
        ("deleted", "the table of run deleted has been deleted"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(tmp_path: Path, name: str, message: str) -> None:
    store = Store(str(tmp_path))
    fakes.write_run_json(store, "run", fingerprints={"publish": "v1"})
    fakes.write_run_json(store, "deleted", fingerprints={"publish": "v0"})
    fakes.write_run_json(store, "early", fingerprints={"ingest": "v1"})
    with pytest.raises(UsageError, match=message):
        resolve(store, name, with_table=True)
