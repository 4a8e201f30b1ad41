"""What a run, a version or LATEST stands for."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.storage import files
from pipeline.store import run_json
from pipeline.store.names import LATEST
from pipeline.store.resolve import resolve
from pipeline.store.store import Store
from tests.pipeline import fakes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two published nights, and the tables of a third that was not published."""
    store = Store(str(tmp_path / "store"))
    for night in (1, 2):
        fakes.publish(store, night)
    fakes.make(store, 3)
    for night in (1, 2, 3):
        stages = {stage: fakes.fingerprint(night, stage) for stage in fakes.TABLES}
        settings = {"neighbors": {"k": night}}
        fakes.write_run_json(store, f"run{night}", fingerprints=stages, settings=settings)
    return store


@pytest.mark.parametrize(
    ("name", "night"),
    [(LATEST, 2), ("run1", 1), ("run3", 3), (fakes.version(1), 1), (fakes.version(3), 3)],
)
def test_a_name_stands_for_a_version_its_run_and_its_stages(
    store: Store, name: str, night: int
) -> None:
    resolved = resolve(store, name, with_table=True)
    assert resolved.version == fakes.version(night)
    assert resolved.run_id == f"run{night}"
    assert resolved.settings == {"neighbors.k": night}
    assert resolved.table("lists") == fakes.fingerprint(night, "index")
    assert resolved.record("embed").fingerprint == fakes.fingerprint(night, "embed")


def test_latest_reads_no_run_json_before_the_run_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def read_object(path: Path, **fields: type) -> object:
        opened.append(path.parent.name)
        return files.read_object(path, **fields)

    monkeypatch.setattr(run_json, "read_object", read_object)
    resolved = resolve(store)
    assert (resolved.run_id, resolved.stages["embed"]) == ("run2", fakes.fingerprint(2, "embed"))
    assert opened == []
    assert resolved.settings == {"neighbors.k": 2}
    assert opened == ["run2"]


def test_without_a_run_json_a_version_still_has_what_was_published(store: Store) -> None:
    for path in (store.root / "runs").glob("*/run.json"):
        path.unlink()
    published, unpublished = resolve(store, fakes.version(1)), resolve(store, fakes.version(3))
    assert published.table("items") == fakes.fingerprint(1, "ingest")
    assert (published.run, published.settings) == (None, {})
    assert unpublished.table("similar_items") == fakes.version(3)
    with pytest.raises(UsageError, match=r"items: no table of .*; it has: similar_items"):
        unpublished.table("items")


def test_a_run_that_ended_early_has_the_tables_that_it_made(store: Store) -> None:
    stages = {"ingest": fakes.fingerprint(3, "ingest")}
    fakes.write_run_json(store, "early", fingerprints=stages)
    assert resolve(store, "early").table("items") == fakes.fingerprint(3, "ingest")
    with pytest.raises(UsageError, match="run early did not come to a similar-item table"):
        resolve(store, "early", with_table=True)
