"""Expectations: each with a catalogue that just meets its limit, and one that just does not."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from scipy.spatial.distance import jensenshannon

from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import InputError
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.stages.context import Job
from pipeline.stages.ingest import expectations, measurement, published_items
from pipeline.stages.ingest.expectations import Before, Expectation
from pipeline.stages.tokenize import drift
from pipeline.storage.files import read_json
from pipeline.store.publications import Publication
from pipeline.store.stage_record import StageRecord
from pipeline.store.state import StoreState
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.conftest import WriteCsv
from tests.pipeline.places import on_disk

Row = tuple[str, str, str, str, str]
COLUMNS = ("item_id", "title", "description", "brand", "price")
# What `just_meets` has of everything, of its 40 rows and 38 items.
LIMITS: dict[str, Any] = {
    "max_quarantined": 2 / 40,
    "max_empty_titles": 3 / 38,
    "max_empty_descriptions": 4 / 38,
    "max_null": {"brand": 5 / 38, "price": 6 / 38},
    "min_distinct": {"price": 32},
    "max_distinct": {"brand": 3},
    "max_text_length": 12,
    "min_japanese": 35 / (2 * 35),
    "max_japanese": 35 / (2 * 35),
}


def just_meets() -> list[Row]:
    """40 rows: two without an id; of the others some have no title, description, brand or price."""
    rows = [
        (
            f"i{n:02d}",
            # One kanji, one letter, and no letters.
            "" if n < 3 else f"靴 x {n}",
            # White space and a placeholder are none.
            ("", " ", "　", "NULL")[n - 3] if 3 <= n < 7 else f"d{n}",
            "" if n < 5 else f"brand{n % 3}",
            "" if n < 6 else str(100 + n),
        )
        for n in range(38)
    ]
    rows[10] = (*rows[10][:2], "十二文字ちょうどの説明文", *rows[10][3:])
    return [*rows, ("", "帽子", "", "", ""), ("", "鞄", "", "", "")]


def just_breaks() -> list[Row]:
    """The same with one row more beyond each limit."""
    rows = just_meets()
    # Three rows less are items, and each limit is of one item more at least.
    rows[37] = ("", *rows[37][1:])
    rows[3] = ("i03", "", "d3", "", "")
    rows[7] = ("i07", "帽 x 7", "", "", "")
    rows[8] = ("i08", "靴 x 8", "", "", "")
    rows[9] = ("i09", "abc x 9", "", "brand9", "")
    rows[10] = ("i10", "靴 x 10", "十三文字にわたっている説明文", "brand1", "110")
    return rows


@pytest.fixture
def measured(
    spark: SparkSession, write_csv: WriteCsv, tmp_path: Path
) -> Callable[[list[Row]], dict[str, Any]]:
    def measure(rows: list[Row]) -> dict[str, Any]:
        path = write_csv(rows, COLUMNS)
        settings = {"store": {"path": str(tmp_path / "s")}, "catalogue": {"path": str(path)}}
        return measurement.measure(spark, config.from_mapping(settings))

    return measure


def expect(**limits: Any) -> Config:
    defaults = {"max_gone": 1.0, "max_quarantined": 1.0, "max_empty_titles": 1.0, "min_rows": 0.0}
    return config.from_mapping(
        {"store": {"path": "s"}, "catalogue": {"path": "c"}, "expect": defaults | limits}
    )


def check(counts: dict[str, Any], before: Before | None = None, **limits: Any) -> list[Expectation]:
    section = expect(**limits).expect
    return expectations.of_catalogue(section, counts, before, min_rows=0.9)


def test_each_limit_is_met_by_one_catalogue_and_not_by_another(
    measured: Callable[[list[Row]], dict[str, Any]],
) -> None:
    good, bad = measured(just_meets()), measured(just_breaks())
    assert (good["rows_read"], good["items"], good["quarantine_reasons"]) == (
        40,
        38,
        {"no_item_id": 2},
    )
    met = check(good, **LIMITS)
    assert [one.problem() for one in met if not one.is_met] == []
    names = [
        *("quarantined", "empty_titles", "empty_descriptions", "null", "null"),
        *("distinct", "distinct", "text_length", "japanese", "japanese"),
    ]
    assert [one.name for one in met] == names
    # Fewer letters are Japanese: the least is not met. The greatest is not met by all of the good.
    broken = check(bad, **LIMITS)
    assert [one.name for one in broken if not one.is_met] == names[:-1]
    assert not check(good, max_japanese=0.49)[0].is_met
    # Nothing is checked that is off.
    assert check(bad) == []


def test_the_message_names_all_that_is_wrong_and_the_settings_that_allow_it(
    measured: Callable[[list[Row]], dict[str, Any]],
) -> None:
    bad = measured(just_breaks())
    failed = [one for one in check(bad, Before(50), **LIMITS, min_rows=-1.0) if not one.is_met]
    message = expectations.message(failed, "catalogue.path items.csv")
    for part in (
        "items, of the published night's 50: 74%, at least 90% is expected (publish.min_rows)",
        "3 of 40 rows in quarantine: 7.5%, at most 5% is expected (expect.max_quarantined)",
        "different values of brand: 4, at most 3 is expected (expect.max_distinct.brand)",
        "characters of the longest description: 14, at most 12 is expected",
    ):
        assert part in message
    sets = re.findall(r"--set (\S+)", message)
    assert {"publish.min_rows=0.74", "publish.min_coverage=0.74"} <= {*sets}
    # With those settings nothing is left.
    settings = {"store": {"path": "s"}, "catalogue": {"path": "c"}, "expect": LIMITS}
    allowed = config.from_mapping(settings, sets)
    again = expectations.of_catalogue(
        allowed.expect, bad, Before(50), min_rows=allowed.publish.min_rows
    )
    assert [one.problem() for one in again if not one.is_met] == []


def test_one_row_too_many_of_a_large_catalogue_does_not_look_like_its_limit() -> None:
    one = Expectation("a", "rows", 15_000_001 / 300_000_000, 0.05, expectations.AT_MOST, "a.b")
    assert not one.is_met
    assert one.problem() == "rows: 5.0000003%, at most 5% is expected (a.b)"


def test_a_catalogue_without_a_valid_row_is_refused_with_the_reasons(
    measured: Callable[[list[Row]], dict[str, Any]],
) -> None:
    with pytest.raises(InputError, match=r"no valid row among 2 \(no_item_id: 2, the row has no"):
        measured([("", "靴", "", "", "")] * 2)


def test_what_is_measured_does_not_depend_on_the_order_of_rows_or_on_files(
    spark: SparkSession,
    measured: Callable[[list[Row]], dict[str, Any]],
    write_csv: WriteCsv,
    tmp_path: Path,
) -> None:
    once = measured(just_meets())
    (tmp_path / "parts").mkdir()
    for part in range(3):
        write_csv(just_meets()[::-1][part::3], COLUMNS, f"parts/{part}.csv")
    settings = {"store": {"path": "s"}, "catalogue": {"path": str(tmp_path / "parts")}}
    assert measurement.measure(spark, config.from_mapping(settings)) == once


def test_a_column_that_the_catalogue_lacks_is_empty_everywhere() -> None:
    profile: dict[str, Any] = {"columns": {}, "letters": 0, "japanese_letters": 0}
    counts = {"rows_read": 5, "items": 5, "quarantined": 0, "profile": profile}
    found = check(counts, max_null={"brand": 0.99}, min_distinct={"brand": 1}, min_japanese=0.5)
    assert [(one.name, one.value, one.is_met) for one in found] == [
        ("null", 1.0, False),
        ("distinct", 0, False),
    ]


def job_after(
    spark: SparkSession, folder: Path, ids: dict[str, str], **limits: Any
) -> tuple[Job, StageRecord]:
    """A job whose published night had items 0 to 19, and whose own have these ids and titles."""
    store = Store(str(folder / "store"))
    settings = expect(**limits).model_copy(update={"store": config.defaults().store})
    job = Job(settings, store, "run2", spark=spark)
    for version, items in (("v1", {f"i{n}": "靴" for n in range(20)}), ("v2", ids)):
        empty = dict.fromkeys(("description", "category", "group_id", "brand", "locale"))
        empty |= dict.fromkeys(("image_url", "price", "stock"))
        rows = [{"item_id": item, "title": title, **empty} for item, title in items.items()]
        if not store.has_table("items", version):
            store.write_rows(rows, "items", version)
        counts = {"rows_read": len(rows), "items": len(rows), "quarantined": 0}
        counts_of: dict[str, Any] = counts | {"quarantine_reasons": {}}
        tables = {"items": len(rows)}
        record = StageRecord("ingest", version, "run", {}, tables, counts_of, {"content": version})
        store.write_record(record)
    job.set_record(record)
    published = Publication(
        1, "published", "then", "p1", "run1", {"items": {"version": "v1", "run_id": "run1"}}, {}
    )
    job.state = StoreState(published, {}, frozenset(), {})
    return job, record


@pytest.mark.parametrize(
    ("limits", "met", "broken"),
    [
        ({"min_rows": 0.8}, range(16), range(15)),
        ({"max_rows": 1.2}, range(24), range(25)),
        ({"max_new": 0.2}, range(25), range(26)),
        ({"max_gone": 0.1}, range(2, 20), range(3, 20)),
    ],
)
def test_items_are_counted_against_the_published_night(
    spark: SparkSession, tmp_path: Path, limits: dict[str, float], met: range, broken: range
) -> None:
    for number, (numbers, is_met) in enumerate(((met, True), (broken, False))):
        items = {f"i{n}": "靴" for n in numbers}
        job, _ = job_after(spark, tmp_path / str(number), items, **limits)
        assert published_items.needs_spark(job) == (not limits.keys() & {"min_rows", "max_rows"})
        assert [one.is_met for one in published_items.check(job)] == [is_met]


def test_items_with_another_text_are_counted_once_and_kept_in_the_counts(
    spark: SparkSession, tmp_path: Path
) -> None:
    for changed, is_met in ((2, True), (3, False)):
        items = {f"i{n}": "鞄" if n < changed else "靴" for n in range(20)}
        job, record = job_after(spark, tmp_path / str(changed), items, max_changed=0.1)
        stored = published_items.counts(job, "v2", "v2")
        expected = {"items_version": "v1", "added": 0, "changed": changed, "removed": 0}
        assert stored == {"since_published": expected}
        record.counts.update(stored)
        # From here on a run that reuses the output reads nothing.
        assert not published_items.needs_spark(job)
        assert [one.is_met for one in published_items.check(job)] == [is_met]


def test_the_first_night_has_nothing_to_compare_with(spark: SparkSession, tmp_path: Path) -> None:
    job, _ = job_after(spark, tmp_path, {"a": "靴"}, max_new=0.0, min_rows=1.0)
    job.state = StoreState(None, {}, frozenset(), {})
    assert not published_items.needs_spark(job)
    assert published_items.check(job) == []


@pytest.mark.parametrize(("others", "is_met"), [(10, True), (11, False)])
def test_the_drift_is_the_divergence_of_the_frequencies_of_words(
    spark: SparkSession, tmp_path: Path, others: int, is_met: bool
) -> None:
    before = ["靴 赤", "靴 青", "鞄"] * 20
    today = before[others:] + ["皿 白"] * others
    counts = [
        [" ".join(texts).split().count(word) for word in ("靴", "赤", "青", "鞄", "皿", "白")]
        for texts in (before, today)
    ]
    divergence = jensenshannon(*counts, base=2) ** 2
    # The limit is between ten and eleven items of sixty.
    job, _ = job_after(spark, tmp_path, {"a": "靴"}, max_word_drift=0.11)
    for version, texts in (("t1", before), ("t2", today)):
        rows = [
            {
                "item_id": f"i{n}",
                "title_tokens": text,
                "description_tokens": "",
                "text": bytes([n]),
            }
            for n, text in enumerate(texts)
        ]
        job.store.write_rows(rows, "tokens", version)
        outputs = {"text_fingerprint": "same"}
        record = StageRecord("tokenize", version, "r", {}, {"tokens": 60}, {}, outputs)
        job.store.write_record(record)
    job.set_record(record)
    published = Publication(1, "published", "then", "p1", "run1", {}, {"tokenize": "t1"})
    job.state = StoreState(published, {}, frozenset(), {})
    (found,) = drift.check(job)
    assert found.value == pytest.approx(divergence, abs=1e-9)
    assert found.is_met == is_met


def test_equal_words_have_no_drift_and_other_ones_all_of_it() -> None:
    import numpy as np

    one, other = np.array([3, 0, 1]), np.array([0, 2, 0])
    assert drift.jensen_shannon(one, 5 * one) == 0
    assert drift.jensen_shannon(one, other) == 1
    assert drift.jensen_shannon(one, 0 * one) == 1


@pytest.mark.slow
def test_a_night_that_is_not_as_expected_is_stopped_and_let_through_when_allowed(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    store = Store(str(tmp_path / "store"))

    def night(ids: range, *sets: str, **options: Any) -> Runner:
        words = ["赤い 靴", "青い 帽子", "革 の 鞄", "白い 皿", "布 の 鞄"]
        write_csv([[f"i{n:02d}", words[n % 5], ""] for n in ids])
        file = tmp_path / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n'
            "[model]\nepoch = 2\ndim = 10\nmin_count = 1\n[neighbors]\nk = 5\n"
        )
        settings = config.load(file, sets, {})
        runner = Runner(settings, new_run_id(), Progress(io.StringIO()), **options)
        runner.run("ingest", "publish")
        return runner

    night(range(30))
    latest = store.latest()
    with pytest.raises(InputError, match="not as expected") as raised:
        night(range(20, 46))
    message = str(raised.value)
    assert "of the published night's 30: 86.67%, at least 90%" in message
    assert "items that are gone: 66.67%, at most 50%" in message
    assert store.latest() == latest
    written = read_json(max(on_disk(store.root / "runs").iterdir()) / "run.json")
    assert (written["status"], written["message"]) == ("failed", message)
    assert list(written["fingerprints"]) == ["ingest"]
    found = {one["name"]: one["met"] for one in written["counts"]["expectations"]}
    assert found == {"rows": False, "gone": False, "quarantined": True, "empty_titles": True}
    # An experiment goes on; the same night is let through by what the message says.
    assert night(range(20, 46), publishing=False, experiment=True).outcome.version is None
    sets = re.findall(r"--set (\S+)", message)
    runner = night(range(20, 46), *sets, "publish.max_churn=1")
    assert runner.outcome.version != (latest or {})["version"]
    assert runner.outcome.stages[0][1] == "reused"
    assert json.dumps(runner.outcome.counts())
