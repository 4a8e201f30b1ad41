"""JSON files of a store that are damaged: never taken for absent ones, never a traceback."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import DamagedError, LockedError
from pipeline.store import gc, lock, publications, run_records
from pipeline.store.resolve import resolve
from pipeline.store.state import read_state
from pipeline.store.store import Store
from tests.pipeline import fakes
from tests.pipeline.places import on_disk

# No JSON; JSON of another kind; an object without the fields that it should have.
CONTENTS = (b"", b"{", b"\0\0", b"[]", b"[1]", b'"x"', b"null", b"3", b"{}", b'{"version": 1}')
READS: dict[str, list[Callable[[Store], object]]] = {
    "tables/similar_items/LATEST": [Store.latest, resolve, read_state],
    "publications/000002.json": [lambda store: publications.entries(store, strict=True)],
    "runs/run2/run.json": [
        lambda store: run_records.list_runs(store, strict=True),
        lambda store: run_records.find_run(store, "run2"),
        lambda store: resolve(store, "run2"),
    ],
    "models/current/settings.json": [lambda store: store.current_model("settings")],
    "quantisers/current/settings.json": [lambda store: store.quantisers.current("settings")],
    f"stages/publish/{fakes.version(2)}.json": [],
    f"stages/index/{fakes.fingerprint(2, 'index')}.json": [],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two nights that are published, and the run of the second."""
    store = Store(str(tmp_path / "store"))
    for night in (1, 2):
        fakes.publish(store, night, model=night, quantiser=night)
    fakes.write_run_json(store, "run2")
    return store


def lines(store: Store) -> list[str]:
    """What the store says from now on."""
    said: list[str] = []
    store.print_line = said.append
    return said


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
@pytest.mark.parametrize("name", READS)
def test_a_damaged_file_is_named_and_gc_deletes_nothing(
    store: Store, name: str, content: bytes
) -> None:
    file = on_disk(store.root) / name
    file.write_bytes(content)
    files = set(on_disk(store.root).rglob("*"))
    reads: list[Callable[[Store], object]] = [*READS[name], lambda store: gc.collect(store, 1)]
    for read in reads:
        with pytest.raises(DamagedError, match=file.name):
            read(store)
    assert set(on_disk(store.root).rglob("*")) == files


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_taking_the_lock_restores_a_damaged_latest(store: Store, content: bytes) -> None:
    said = lines(store)
    for table in ("items", "similar_items"):
        (on_disk(store.root) / "tables" / table / "LATEST").write_bytes(content)
    with lock.hold_store(store, "test"):
        for table, stage in publications.POINTERS.items():
            pointer = store.latest(table)
            assert pointer is not None
            assert pointer["version"] == fakes.fingerprint(2, stage)
    assert "it is restored from entry 2" in said[0]
    assert "items/LATEST: damaged" in said[1]
    assert len(said) == 3


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_what_a_run_reads_at_its_start_is_said_and_counts_as_none(
    store: Store, content: bytes
) -> None:
    said, root = lines(store), on_disk(store.root)
    for kind in ("models", "quantisers"):
        (root / kind / "current" / "settings.json").write_bytes(content)
    state = read_state(store)
    assert (state.models, state.quantisers) == ({}, {})
    assert [line.rpartition("; ")[2] for line in said] == [
        "where it is needed, the published version's model is used, or another is trained",
        "where it is needed, another quantiser is trained",
    ]
    said.clear()
    fingerprint = fakes.fingerprint(2, "embed")
    (root / "stages" / "embed" / f"{fingerprint}.json").write_bytes(content)
    assert store.find_record("embed", fingerprint) is None
    assert f"{fingerprint}.json: damaged" in said[0]


@pytest.mark.parametrize(
    "content", [*CONTENTS, b'{"machine": 1, "pid": "x", "started": []}'], ids=repr
)
def test_a_damaged_lock_is_free_once_it_is_old_enough(
    store: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.hold_store(store, "first") as held:
        on_disk(held.path).write_bytes(content)  # it can't always be released then
    on_disk(held.path).write_bytes(content)
    message = r"publishing-\d+.json: damaged|by unknown"
    with pytest.raises(LockedError, match=message), lock.hold_store(store, "second"):
        pass
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 0.0)
    time.sleep(0.02)
    with lock.hold_store(store, "second") as held:
        held.check()
