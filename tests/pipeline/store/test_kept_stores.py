"""Stores of earlier releases are read; CHANGELOG says what of them is computed again."""

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from pipeline.query.published import Published
from pipeline.runs.request import RunRequest
from pipeline.stages import CHAIN, NAMES
from pipeline.store import check, gc, run_records, store_format
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.store.kept import NAMES as KEPT
from tests.pipeline.store.kept import KeptStore
from tests.pipeline.tables import read_rows

CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"
UNRELEASED = "unreleased-13ef96d"


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptStore:
    return KeptStore(request.param, tmp_path)


def changelog() -> dict[str, tuple[dict[str, int], set[str]]]:
    """For each release of CHANGELOG's table: its code versions, and what is computed again."""
    rows = {}
    for line in CHANGELOG.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if len(cells) == len(NAMES) + 2 and cells[1].isdigit():
            again = {"all": set(NAMES), "none": set[str]()}.get(cells[-1])
            if again is None:
                again = set(re.findall(r"\w+", cells[-1]))
            versions = dict(zip(NAMES, map(int, cells[1:-1]), strict=True))
            rows[cells[0]] = (versions, again)
    return rows


def test_the_changelog_has_the_code_versions_of_today() -> None:
    versions, _ = changelog()["now"]
    assert versions == {stage.NAME: stage.CODE_VERSION for stage in CHAIN}


def test_every_kept_store_is_in_the_changelog() -> None:
    assert set(KEPT) <= changelog().keys()


@pytest.mark.parametrize("name", KEPT)
def test_the_changelog_says_what_the_first_run_computes_again(name: str, tmp_path: Path) -> None:
    kept = KeptStore(name, tmp_path)
    plan = RunRequest().plan(kept.config())
    again = {stage for stage, what in plan if not what.startswith("reuse ")}
    assert again == changelog()[name][1]


def test_its_runs_versions_and_tables_are_read(kept: KeptStore) -> None:
    store = kept.open()
    runs = run_records.list_runs(store, strict=True)
    assert [(run.run_id, run.status) for run in runs] == [
        ("night2", run_records.PUBLISHED),
        ("night1", run_records.PUBLISHED),
    ]
    assert [run.kept for run in runs] == [True, True]
    assert runs[0].latest
    for name in ("night1", "LATEST"):
        parts = list(check.check(check.find_version(store, name)))
        assert {part.stage for part in parts} == set(NAMES)
        assert [part for part in parts if part.status == check.DAMAGED] == []
    rows = read_rows(store, "similar_items", runs[0].version or "")
    assert len(rows) == 63
    assert {"g11", "t03"} <= {row["item_id"] for row in rows}


def test_its_items_are_explained_and_its_runs_are_listed(
    kept: KeptStore, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(kept.file)]
    execute(["inspect", "t03", *config])
    shown = capsys.readouterr().out
    assert "白い湯のみ 大" in shown
    assert "run night2" in shown
    execute(["runs", "--last", "5", *config])
    listed = capsys.readouterr().out
    assert listed.count("published") == 3
    assert "recall " in listed


def test_its_texts_are_embedded_by_its_own_rules(kept: KeptStore) -> None:
    blend = Published.of(kept.open()).blend
    assert blend is not None
    assert blend.rare_weight == 1.0


def test_rollback_and_gc_work_on_it(kept: KeptStore) -> None:
    store = kept.open()
    was, now = rollback(store)
    assert (was.run_id, now.run_id) == ("night2", "night1")
    gc.collect(store, 1, runs=1)
    # What is published now, and what was published last.
    assert [store.has_table("similar_items", one.version) for one in (was, now)] == [True, True]
    assert [part for part in check.check(check.find_version(store)) if part.problem] == []


def test_it_has_no_marker_and_a_run_says_what_to_do(kept: KeptStore) -> None:
    assert kept.open().format == store_format.FIRST_FORMAT
    # Opened for writing it stays as it is: only an upgrade has done all steps.
    assert Store.of(kept.config()).format == store_format.FIRST_FORMAT
    assert not (kept.folder / "store" / store_format.NAME).exists()


@pytest.mark.slow
@pytest.mark.parametrize("upgraded", [False, True])
def test_the_next_night_builds_on_it_and_makes_the_table_of_a_full_run(
    spark: SparkSession, tmp_path: Path, upgraded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = KeptStore(UNRELEASED, tmp_path)
    if upgraded:
        execute(["upgrade", "--config", str(kept.file)])
    lines = (kept.folder / "night2.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (kept.folder / "night3.csv").write_text("".join(lines[:-2]), encoding="utf-8")
    config = kept.config("night3")
    capsys.readouterr()
    outcome = RunRequest(run_id="night3").run(config, Progress())
    said = capsys.readouterr().err
    assert ("nitamono upgrade" in said) == (not upgraded)
    assert outcome.version is not None
    built_on = {name: record.outputs.get("base") for name, _, record in outcome.stages}
    before = run_records.find_run(kept.open(), "night2")
    assert before is not None
    versions, now = changelog()[UNRELEASED][0], changelog()["now"][0]
    for stage in ("tokenize", "embed", "index"):
        is_same = versions[stage] == now[stage] and (stage != "index" or built_on["embed"])
        assert built_on[stage] == (before.fingerprints[stage] if is_same else None)
    whole = RunRequest(run_id="whole", full=True, assignments=("x=y",)).run(config, Progress())
    table = whole.record("publish")
    assert table is not None
    store = kept.open()
    expected = read_rows(store, "similar_items", table.fingerprint)
    assert read_rows(store, "similar_items", outcome.version) == expected
    assert len(expected) == 60
