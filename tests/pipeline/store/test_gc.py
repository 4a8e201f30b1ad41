"""gc deletes what nothing needs, and nothing else."""

import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage import file_owners
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.store import gc, leftovers, publications, retention, run_records
from pipeline.store.retention import Retained
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from tests.pipeline import fakes
from tests.pipeline.places import on_disk

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Five nights; the third trained a new model and quantiser."""
    store = Store(str(tmp_path / "store"))
    for night in range(1, 6):
        trained = 1 if night < 3 else 3
        fakes.publish(store, night, model=trained, quantiser=trained)
    for entry in publications.entries(store):
        publications.write(store, replace(entry, time=f"2026-11-{entry.number:02}T01:00:00+00:00"))
    return store


def nights(store: Store) -> set[int]:
    """The nights whose tables, records, models and quantisers are all in the store."""
    complete = set()
    for night in range(1, 6):
        tables = [(s, t) for s, of_stage in fakes.TABLES.items() for t in of_stage]
        present = [store.table_path(t, fakes.fingerprint(night, s)).is_dir() for s, t in tables]
        index = store.find_record("index", fakes.fingerprint(night, "index"))
        others = [stage for stage in fakes.TABLES if stage != "train"]
        records = [store.find_record(s, fakes.fingerprint(night, s)) for s in others]
        assert len({*present, *(r is not None for r in records)}) == 1, f"half of night {night}"
        if all(present):
            assert index is not None
            assert store.quantisers.path(index.outputs["quantiser"]).exists()
            assert store.quantisers.sizes_path(index.outputs["quantiser"]).exists()
            complete.add(night)
    return complete


@pytest.mark.parametrize(("keep", "left"), [(1, {5}), (2, {4, 5}), (4, {2, 3, 4, 5}), (9, set())])
def test_the_versions_published_last_stay_with_all_that_made_them(
    store: Store, keep: int, left: set[int]
) -> None:
    gc.collect(store, keep)
    assert nights(store) == (left or {1, 2, 3, 4, 5})
    old = left and min(left) > 2
    assert (store.find_record("train", fakes.fingerprint(1, "train")) is None) == bool(old)
    assert store.models.path(fakes.fingerprint(1, "train")).exists() == (not old)
    assert store.quantisers.path(fakes.fingerprint(1, "index")).exists() == (not old)
    assert store.find_record("train", fakes.fingerprint(3, "train")) is not None
    again = gc.find_garbage(store, keep)
    assert (again.records, again.data) == ([], {})
    assert list(store.root.rglob("_deleting-*")) == []


def test_what_a_rollback_would_come_to_stays_though_others_were_published_since(
    store: Store,
) -> None:
    rollback(store, fakes.version(1))
    stages = {stage: fakes.fingerprint(4, stage) for stage in fakes.TABLES} | {
        "train": fakes.fingerprint(3, "train")
    }
    publications.publish(store, "again", stages)
    gc.collect(store, 2)
    assert nights(store) == {1, 4, 5}
    rollback(store)
    latest = store.latest()
    assert latest is not None
    assert latest["version"] == fakes.version(1)


def test_what_is_published_stays_when_it_is_an_old_version(store: Store) -> None:
    rollback(store, fakes.version(1))
    gc.collect(store, 1)
    assert nights(store) == {1, 5}
    assert store.find_record("train", fakes.fingerprint(1, "train")) is not None


def test_bytes_freed_are_those_of_the_files(store: Store) -> None:
    before = sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file())
    records = sum(p.stat().st_size for p in (store.root / "stages").rglob("*.json"))
    garbage = gc.collect(store, 1)
    after = sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file())
    after_records = sum(p.stat().st_size for p in (store.root / "stages").rglob("*.json"))
    assert before - after - (records - after_records) == garbage.size > 0


def test_the_current_model_and_quantiser_stay_though_no_version_needs_them(store: Store) -> None:
    store.models.set_current("other settings", fakes.fingerprint(1, "train"))
    state = fakes.quantiser_state(1, before=fakes.fingerprint(2, "index"))
    store.quantisers.set_current("other settings", state)
    fakes.write_file(on_disk(store.quantisers.path(fakes.fingerprint(2, "index"))))
    gc.collect(store, 1)
    assert nights(store) == {5}
    assert store.current_model("other settings") is not None
    assert store.quantisers.path(fakes.fingerprint(1, "index")).exists()
    assert store.quantisers.sizes_path(fakes.fingerprint(1, "index")).exists()
    assert store.quantisers.path(fakes.fingerprint(2, "index")).exists()


def this_process() -> dict[str, Any]:
    return asdict(file_owners.current_process())


def age(store: Store) -> None:
    for path in on_disk(store.root).rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_what_a_run_under_way_uses_and_makes_stays(store: Store) -> None:
    age(store)
    used = {stage: fakes.fingerprint(2, stage) for stage in fakes.TABLES if stage != "train"}
    started = "2026-11-06T00:00:00+00:00"
    fields = {"status": "running", "fingerprints": used, "started": started}
    fakes.write_run_json(store, "under-way", **fields, process=this_process())
    # What it is unfinished has no record yet.
    unfinished = on_disk(store.table_path("neighbors", fakes.fingerprint(9, "neighbors")))
    fakes.write_file(unfinished / "part.parquet")
    gc.collect(store, 1)
    assert nights(store) == {2, 5}
    assert unfinished.exists()
    fakes.write_run_json(store, "under-way", **fields | {"status": "failed"})
    gc.collect(store, 1)
    assert nights(store) == {5}
    assert not unfinished.exists()


def test_a_table_held_back_since_stays_for_inspection(store: Store) -> None:
    stages = fakes.make(store, 9, model=3, quantiser=3)
    fields = {"status": "held_back", "fingerprints": stages}
    fakes.write_run_json(store, "held", started="9999-01-01T00:00:00+00:00", **fields)
    gc.collect(store, 1)
    assert store.find_record("publish", fakes.version(9)) is not None
    fakes.write_run_json(store, "held", started="2020-01-01T00:00:00+00:00", **fields)
    gc.collect(store, 1)
    assert store.find_record("publish", fakes.version(9)) is None
    assert not store.table_path("similar_items", fakes.version(9)).exists()


def test_what_a_version_was_built_on_stays(store: Store) -> None:
    record = store.find_record("publish", fakes.version(5))
    assert record is not None
    built_on = {"items": fakes.fingerprint(4, "ingest"), "similar_items": fakes.version(4)}
    record.inputs["baseline"] = built_on
    store.write_record(record)
    gc.collect(store, 1)
    assert store.table_path("items", built_on["items"]).is_dir()
    assert store.table_path("similar_items", built_on["similar_items"]).is_dir()
    assert not store.table_path("embeddings", fakes.fingerprint(4, "embed")).exists()


def test_what_carries_a_living_process_mark_stays(store: Store) -> None:
    version = store.trial_version(fakes.fingerprint(9, "neighbors"))
    trial = on_disk(store.table_path("neighbors", version))
    fakes.write_file(trial / "part.parquet")
    age(store)
    gc.collect(store, 1)
    assert trial.exists()


def test_the_published_versions_that_a_run_under_way_may_build_on_stay(store: Store) -> None:
    age(store)
    fields = {"started": "2026-11-03T05:00:00+00:00", "process": this_process()}
    fakes.write_run_json(store, "x", status="running", **fields)
    gc.collect(store, 1)
    assert nights(store) == {3, 4, 5}


def test_a_run_that_takes_a_record_up_meanwhile_keeps_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(store)
    find_retained = retention.find_retained
    calls: list[int] = []

    def then_a_run_starts(store: Store, keep: int, also_keep: Iterable[str] = ()) -> Retained:
        retained = find_retained(store, keep, also_keep)
        if not calls:
            stages = [stage for stage in fakes.TABLES if stage != "train"]
            used = {stage: fakes.fingerprint(2, stage) for stage in stages}
            fields = {"started": "9999-01-01T00:00:00+00:00", "process": this_process()}
            fakes.write_run_json(store, "late", status="running", fingerprints=used, **fields)
        calls.append(keep)
        return retained

    monkeypatch.setattr(retention, "find_retained", then_a_run_starts)
    garbage = gc.collect(store, 1)
    assert nights(store) == {2, 5}
    assert not [path for path in garbage.records if path.exists()]


def test_records_go_before_the_data_that_they_tell_of(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[Path] = []
    monkeypatch.setattr(gc, "_delete", lambda _, paths: deleted.extend(paths))
    garbage = gc.collect(store, 1)
    assert garbage.records
    assert not any(record.exists() for record in garbage.records)
    assert deleted
    assert all(path.exists() for path in deleted)


def test_folders_of_runs_go_after_30_days_but_for_those_that_something_is_left_of(
    store: Store,
) -> None:
    stages = fakes.make(store, 9, model=3, quantiser=3)
    for night in range(1, 6):
        fakes.write_run_json(store, f"run{night}")
        fakes.write_file(on_disk(store.run_path(f"run{night}")) / "report.html")
    held_back = {"status": "held_back", "fingerprints": stages}
    fakes.write_run_json(store, "held", started="9999-01-01T00:00:00+00:00", **held_back)
    fakes.write_run_json(store, "failed", status="failed")
    fakes.write_run_json(store, "maker")
    record = store.find_record("embed", fakes.fingerprint(4, "embed"))
    assert record is not None
    store.write_record(replace(record, run_id="maker"))
    age(store)
    fakes.write_run_json(store, "new", status="failed")
    gc.collect(store, 2)
    left = {path.name for path in on_disk(store.root / "runs").iterdir()}
    assert left == {"run4", "run5", "maker", "held", "new"}


def write_runs(store: Store) -> None:
    """The runs of the five nights, and one that failed after each."""
    for night in range(1, 6):
        for name, hour, status in ((f"run{night}", 1, "published"), (f"bad{night}", 2, "failed")):
            started = f"2026-11-{night:02}T0{hour}:00:00+00:00"
            fakes.write_run_json(store, name, status=status, started=started)


def run_names(store: Store) -> set[str]:
    return {path.name for path in on_disk(store.root / "runs").iterdir()}


def test_the_newest_runs_stay_and_those_that_something_is_left_of(store: Store) -> None:
    write_runs(store)
    garbage = gc.find_garbage(store, 2, runs=3)
    gc.collect(store, 2, runs=3)
    # run4 published what stays.
    assert run_names(store) == {"run4", "bad4", "run5", "bad5"}
    assert {path.name for path in garbage.data if path.parent.name == "runs"} == {
        "run1", "bad1", "run2", "bad2", "run3", "bad3",
    }  # fmt: skip
    # Every version that is left can be published again.
    _, now = rollback(store)
    assert now.version == fakes.version(4)


def test_runs_under_way_and_folders_that_just_began_stay(store: Store) -> None:
    write_runs(store)
    age(store)
    fields = {"status": "running", "process": this_process()}
    fakes.write_run_json(store, "slow", started="2026-11-06T00:00:00+00:00", **fields)
    on_disk(store.run_path("begun")).mkdir()
    gc.collect(store, 1, runs=2)
    assert {"slow", "begun", "bad5", "run5"} <= run_names(store)
    assert "bad4" not in run_names(store)


def test_a_gc_of_runs_that_is_killed_leaves_whole_runs_and_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(store)
    deleted: list[StoragePath] = []

    def then_killed(path: StoragePath) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(path)
        remove_tree(path)

    with monkeypatch.context() as patch:
        patch.setattr(gc, "remove_tree", then_killed)
        with pytest.raises(KeyboardInterrupt):
            gc.collect(store, 5, runs=2)
    # What has lost its name is no run any more.
    runs = {run.run_id for run in run_records.list_runs(store, strict=True)}
    assert runs == {"run1", "run3", "run2", "run4", "run5", "bad5"}
    monkeypatch.setattr(file_owners, "_machine", lambda: "0" * 8)
    age(store)
    leftovers.remove_leftovers(store)
    gc.collect(store, 5, runs=2)
    assert run_names(store) == {"run1", "run2", "run3", "run4", "run5", "bad5"}


def test_the_current_entry_is_found_without_reading_all_that_were_ever_published(
    store: Store,
) -> None:
    on_disk(store.root / "publications" / "000001.json").write_text("damaged")
    said: list[str] = []
    store.print_line = said.append
    current = publications.current(store)
    assert current is not None
    assert (current.number, said) == (5, [])
    assert publications.newest_entry(store, fakes.version(1)) is None
    assert len(said) == 1
