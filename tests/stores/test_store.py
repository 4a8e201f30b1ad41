"""A store on Azure and Google Cloud: versions appear whole, the pointer swaps, one has the lock."""

import hashlib
import json
import time
from typing import Any

import pytest

from pipeline.errors import LockedError, UsageError
from pipeline.storage.object_path import ObjectPath
from pipeline.store import file_list, gc, lock
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.s3.proxy import Proxy


@pytest.fixture
def store(root: ObjectPath) -> Store:
    return Store(str(root), root.options)


def fill(folder: Any, text: str) -> None:
    (folder / "part-0.parquet").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    file_list.write(folder, [file_list.File("part-0.parquet", len(text), sha256)])


def files(store: Store) -> list[str]:
    return sorted(path.read_text() for path in (store.root / "tables").rglob("*.parquet"))


def test_of_two_writers_of_one_version_the_first_to_finish_wins(store: Store) -> None:
    with store.versions.create("items", "v1") as slow:
        fill(slow, "slow")
        assert not store.has_table("items", "v1")
        with store.versions.create("items", "v1") as fast:
            fill(fast, "fast")
            assert fast != slow
    assert store.table_path("items", "v1") == fast
    assert files(store) == ["fast"]


def test_a_version_that_fails_is_removed(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.versions.create("items", "v1") as folder:
        fill(folder, "half")
        raise ZeroDivisionError
    assert not store.has_table("items", "v1")
    assert files(store) == []


def test_the_pointer_names_the_new_version_at_once(store: Store, root: ObjectPath) -> None:
    for number in range(3):
        store.set_latest("similar_items", f"v{number}", f"night{number}")
        pointer = json.loads((root / "tables/similar_items/LATEST").read_text())
        assert (pointer["version"], pointer["run_id"]) == (f"v{number}", f"night{number}")
        assert pointer["path"].startswith(str(root))


def test_one_run_at_a_time_holds_the_lock(faulty: Proxy, store: Store) -> None:
    with lock.hold_store(store, "night1") as held_lock:
        with pytest.raises(LockedError, match="in use by night1"), lock.hold_store(store, "night2"):
            pass
        held_lock.check()
    # An answer is lost on the way.
    faulty.lost_answers = 2
    with lock.hold_store(store, "night2") as held_lock:
        held_lock.check()
    assert [path.name for path in (store.root / "locks").iterdir()] == ["publishing-2.json"]


@pytest.mark.slow
def test_a_silent_holder_on_another_machine_loses_the_lock_and_one_that_lives_does_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 2.0)
    path = store.root / "locks" / "publishing-1.json"
    content = {"holder": "run night", "machine": "0" * 8, "pid": 1, "started": 1}
    path.write_text(json.dumps(content))
    for _ in range(2):
        time.sleep(1.5)
        path.touch()
        with pytest.raises(LockedError), lock.hold_store(store, "early"):
            pass
    # The stores' clocks count whole seconds.
    time.sleep(3.5)
    with lock.hold_store(store, "late") as held_lock:
        held_lock.check()


def test_a_store_that_denies_access_or_is_missing_is_refused_at_once(
    faulty: Proxy, bucket: str, root: ObjectPath
) -> None:
    faulty.denied_paths = ("/",)
    with pytest.raises(UsageError, match=r"store\.path .*access denied"):
        Store(str(root), root.options)
    faulty.denied_paths = ()
    with pytest.raises(UsageError, match=r"store\.path .*no such bucket"):
        Store(f"{bucket.replace('test-', 'none-')}/x", root.options)


def test_unused_data_is_collected(store: Store, direct: ObjectPath) -> None:
    # Past the proxy: marks of folders are deleted by Arrow.
    store = Store(str(direct), direct.options)
    for version in ("v1", "v2"):
        with store.versions.create("items", version) as folder:
            fill(folder, version)
    store.set_latest("items", "v2", "night2")
    for version, run in (("v1", "night1"), ("v2", "night2")):
        store.write_record(StageRecord("ingest", version, run, {}, {"items": 1}))
    assert [path.name for path in gc.collect(store, 1).data] == ["version=v1"]
    assert files(store) == ["v2"]
    assert [store.has_table("items", version) for version in ("v1", "v2")] == [False, True]
