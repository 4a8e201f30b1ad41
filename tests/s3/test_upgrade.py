"""The store of an earlier release in an object store: it is upgraded, and its runs have a page."""

import json
from pathlib import Path

import pytest

from pipeline.report import store_page
from pipeline.storage.object_path import ObjectPath
from pipeline.store import check, gc, run_records, store_format, upgrade
from pipeline.store.store import Store
from tests.pipeline.store.kept import SECRET, KeptStore

TABLES = ("tables/similar_items/", "tables/details/")


@pytest.fixture
def store(root: ObjectPath, tmp_path: Path) -> Store:
    """What matters of the kept store of 0.2.0, as it would be in an object store."""
    for path, content in KeptStore("0.2.0", tmp_path).contents().items():
        if not path.startswith(("publications/", "runs/", "stages/publish/", *TABLES)):
            continue
        (root / path).write_bytes(content)
        if "/version=" in path:
            table, folder = path.split("/")[1:3]
            marker = root / "tables" / table / "_whole" / f"{folder.removeprefix('version=')}.json"
            marker.write_bytes(json.dumps({"folder": folder}).encode())
    return Store(str(root), root.options)


def test_its_tables_get_lists_and_its_runs_lose_secrets(store: Store) -> None:
    assert store.format == store_format.FIRST_FORMAT
    steps = list(upgrade.find_steps(store))
    # One that is broken off, and the next.
    for step in steps[: len(steps) // 2]:
        step.execute()
    rest = list(upgrade.find_steps(store))
    assert [str(step.path) for step in rest] == [str(step.path) for step in steps[-len(rest) :]]
    for step in rest:
        step.execute()
    again = Store(str(store.root), store.root.options)  # type: ignore[union-attr]
    assert again.format == store_format.FORMAT
    assert list(upgrade.find_steps(again)) == []
    for name in ("night1", "LATEST"):
        parts = check.check(check.find_version(again, name))
        found = {part.part: part.status for part in parts if part.stage == "publish"}
        assert (found["similar_items"], found["details"]) == (check.OK, check.OK)
    for path in (store.root / "runs").rglob("run.json"):
        assert SECRET not in path.read_text()


def test_its_last_runs_are_found_by_one_listing_and_the_older_are_deleted(store: Store) -> None:
    (store.root / "runs" / "night2" / "report.html").write_text("its page")
    assert [run.run_id for run in run_records.list_runs(store, last=2)] == ["night2", "night1"]
    content = json.loads(json.dumps(store_page.page_data(store)))
    pages = {run["run_id"]: run["page"] for run in content["runs"]}
    assert pages == {"night1": None, "night2": "runs/night2/report.html"}
    page = store_page.write(store)
    assert str(page) == f"{store.root}/store.html"
    assert b"night2" in page.read_bytes()
    (store.root / "runs" / "other" / "run.json").write_bytes(
        (store.root / "runs" / "night1" / "run.json").read_bytes().replace(b"night1", b"other")
        .replace(b'"published",', b'"failed",').replace(b'"started": "20', b'"started": "19')
    )  # fmt: skip
    gc.collect(store, 2, runs=2)
    left = {path.name for path in (store.root / "runs").iterdir()}
    assert left == {"night1", "night2"}
