"""A store in an object store: versions appear whole, the pointer swaps, one holds the lock."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from models.stores import S3Options, StoreOptions
from models.stores.s3 import S3Client
from pipeline.errors import DamagedError, LockedError, StageError, UsageError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.object_path import ObjectPath
from pipeline.storage.paths import relative_to
from pipeline.store import file_list, gc, layers, leftovers, lock, publications
from pipeline.store.retention import Retained
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.s3.proxy import Proxy, running


@pytest.fixture
def store(root: ObjectPath) -> Store:
    return Store(str(root), root.options)


@pytest.fixture
def dead_tag() -> str:
    """The mark of a process that has ended."""
    code = "from pipeline.storage.file_owners import owner_tag; print(owner_tag())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def fill(folder: Any, text: str) -> None:
    (folder / "part-0.parquet").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    file_list.write(folder, [file_list.File("part-0.parquet", len(text), sha256)])


def files(store: Store) -> list[str]:
    parts = (store.root / "tables").rglob("*.parquet")
    return sorted(path.read_text() for path in parts)


def test_a_version_appears_when_it_is_complete(store: Store) -> None:
    with store.versions.create("items", "v1") as folder:
        fill(folder, "first")
        assert not store.has_table("items", "v1")
    assert store.has_table("items", "v1")
    assert store.table_path("items", "v1") == store.root / "tables" / "items" / "version=v1"
    assert [p.name for p in store.table_path("items", "v1").glob("*.parquet")] == ["part-0.parquet"]


def test_a_version_that_fails_is_removed(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.versions.create("items", "v1") as folder:
        fill(folder, "half")
        raise ZeroDivisionError
    assert not store.has_table("items", "v1")
    assert files(store) == []


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_version_survives_a_lost_answer(
    faulty: Proxy, store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Write 1 claims the folder, 2 and 3 are a file and the list, 4 makes it the version."""
    writes = iter(range(1, 9))

    def counted(name: str) -> Any:
        original = getattr(S3Client, name)

        def write(*arguments: Any) -> None:
            if next(writes, 9) == number:
                faulty.lost_answers = 1
            original(*arguments)

        return write

    for name in ("create", "put"):
        monkeypatch.setattr(S3Client, name, counted(name))
    with store.versions.create("items", "v1") as folder:
        fill(folder, "whole")
    monkeypatch.undo()
    assert store.has_table("items", "v1")
    assert files(store) == ["whole"]


@pytest.mark.processes
def test_a_lock_survives_a_lost_answer(faulty: Proxy, store: Store) -> None:
    with lock.hold_store(store, "night1"):
        pass
    for lost in (1, 2, 3):
        faulty.lost_answers = lost
        with lock.hold_store(store, "night2") as held_lock:
            held_lock.check()
        faulty.lost_answers = 0


def test_of_two_writers_of_one_version_the_first_to_finish_wins(store: Store) -> None:
    with store.versions.create("items", "v1") as slow:
        fill(slow, "slow")
        with store.versions.create("items", "v1") as fast:
            fill(fast, "fast")
            assert fast != slow
    assert store.table_path("items", "v1") == fast
    assert files(store) == ["fast"]


def test_the_leftovers_of_a_dead_writer_are_no_version_and_are_removed(
    store: Store, root: ObjectPath, dead_tag: str
) -> None:
    living = root / "tables" / "items" / "version=v2"
    abandoned = root / "tables" / "items" / "version=v1"
    for unfinished, owner in ((abandoned, dead_tag), (living, owner_tag())):
        (unfinished / "_claim").write_text(json.dumps({"mark": owner}))
        fill(unfinished, "half")
    with store.versions.create("items", "v1") as folder:
        fill(folder, "whole")
    assert store.table_path("items", "v1") != abandoned
    assert leftovers.remove_leftovers(store) == [abandoned]
    assert files(store) == ["half", "whole"]
    assert [name for name, _ in store.versions.all_versions()] == ["v1"]


def test_a_renamed_trial_is_no_leftover(store: Store) -> None:
    trial = store.trial_version("v1")
    with store.versions.create("lists", trial) as folder:
        fill(folder, "tried")
    store.rename_version("lists", trial, "v1")
    assert not store.has_table("lists", trial)
    assert store.table_path("lists", "v1") == folder
    assert leftovers.remove_leftovers(store) == []
    again = store.trial_version("v1")
    with store.versions.create("lists", again) as other:
        fill(other, "again")
    store.rename_version("lists", again, "v1")
    assert files(store) == ["tried"]
    store.discard_version("lists", "v1")
    assert files(store) == []
    assert not store.has_table("lists", "v1")


def test_versions_share_files_of_a_renamed_trial(store: Store, dead_tag: str) -> None:
    """Its folder keeps the name of the trial."""
    with store.versions.create("lists", f"v1-{dead_tag}") as folder:
        fill(folder, "first")
    store.rename_version("lists", f"v1-{dead_tag}", "v1")
    with store.versions.create("lists", "v2") as second:
        (second / "_changes" / "part-1.parquet").write_text("second")
        sha256 = hashlib.sha256(b"second").hexdigest()
        own = file_list.File("_changes/part-1.parquet", 6, sha256, layer=1)
        shared = layers.shared_files(store.table_path("lists", "v1"))
        file_list.write(second, [*shared, own], base="v1")
    assert leftovers.remove_leftovers(store) == []
    assert store.open_files("lists", "v2").layers == (
        layers.Layer((f"{folder.name}/part-0.parquet",), ()),
        layers.Layer(("version=v2/_changes/part-1.parquet",), ()),
    )
    assert not store.find_table_damage("lists", "v2")
    assert list(gc._tables(store, Retained({"v2": "published"}))) == []
    (folder / "part-0.parquet").unlink()
    assert isinstance(store.root, ObjectPath)
    other = Store(str(store.root), store.root.options)
    assert "part-0.parquet: the file is missing" in other.find_table_damage("lists", "v2")
    assert list(gc._tables(store, Retained({"v1": "published"}))) == [second]


def test_a_dead_runs_trial_is_removed_and_its_renamed_one_is_not(
    store: Store, dead_tag: str
) -> None:
    for version in ("v1", "v2"):
        with store.versions.create("lists", f"{version}-{dead_tag}") as folder:
            fill(folder, version)
        (folder / "_claim").write_text(json.dumps({"mark": dead_tag}))
    store.rename_version("lists", f"v1-{dead_tag}", "v1")
    assert leftovers.remove_leftovers(store) == [folder]
    assert files(store) == ["v1"]
    assert [name for name, _ in store.versions.all_versions()] == ["v1"]
    assert leftovers.remove_leftovers(store) == []


def test_readers_always_see_a_whole_pointer(s3: Any, store: Store, root: ObjectPath) -> None:
    store.set_latest("similar_items", "v0", "night0")
    versions: list[str] = []
    stop = threading.Event()

    def read() -> None:
        key = f"{root.key}/tables/similar_items/LATEST"
        while not stop.is_set():
            body = s3.get_object(Bucket=root.bucket, Key=key)["Body"].read()
            pointer = json.loads(body)
            assert set(pointer) == {"version", "run_id", "path"}
            assert pointer["path"].endswith(f"/version={pointer['version']}")
            versions.append(pointer["version"])

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(1, 41):
            store.set_latest("similar_items", f"v{number}", f"night{number}")
            latest = store.latest()
            assert latest is not None
            assert latest["version"] == f"v{number}"
        stop.set()
        for reader in readers:
            reader.result()
    assert len(set(versions)) > 5


def test_one_run_at_a_time_holds_the_lock(store: Store) -> None:
    with lock.hold_store(store, "night1") as held_lock:
        with pytest.raises(LockedError, match="in use by night1"), lock.hold_store(store, "night2"):
            pass
        held_lock.check()
    with lock.hold_store(store, "night2") as held_lock:
        held_lock.check()
        assert [path.name for path in (store.root / "locks").iterdir()] == ["publishing-2.json"]


@pytest.mark.processes
def test_a_silent_holder_on_another_machine_loses_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 3.0)
    path = store.root / "locks" / "publishing-1.json"
    content = {"holder": "run night", "machine": "0" * 8, "pid": 1, "started": 1}
    path.write_text(json.dumps(content))
    with pytest.raises(LockedError), lock.hold_store(store, "early"):
        pass
    # The store's clock counts whole seconds.
    time.sleep(4.5)
    with lock.hold_store(store, "late") as held_lock:
        held_lock.check()


@pytest.fixture
def atomic(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of moto, whose conditional writes are atomic."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with running(s3_server) as proxy:
        boto3.client("s3", endpoint_url=proxy.url, region_name="us-east-1").create_bucket(
            Bucket="races"
        )
        yield proxy


def test_of_many_exclusive_writers_one_succeeds(atomic: Proxy) -> None:
    root = ObjectPath.parse(
        "s3a://races/all at once", StoreOptions(S3Options(endpoint=atomic.url, region="us-east-1"))
    )

    def write(path: ObjectPath, number: int) -> bool:
        try:
            path.write_exclusive(str(number).encode())
        except FileExistsError:
            return False
        return path.read_text() == str(number)

    with ThreadPoolExecutor(8) as pool:
        for race in range(10):
            path = root / str(race)
            successes = list(pool.map(write, [path] * 8, range(8)))
            assert successes.count(True) == 1


def test_a_store_without_conditional_writes_gives_no_lock(atomic: Proxy) -> None:
    atomic.dropped_headers = {"if-none-match"}
    store = Store(
        "s3a://races/careless", StoreOptions(S3Options(endpoint=atomic.url, region="us-east-1"))
    )
    with pytest.raises(StageError, match="If-None-Match"), lock.hold_store(store, "night1"):
        pass


def test_a_store_that_denies_access_or_is_missing_is_refused_at_once(
    faulty: Proxy, root: ObjectPath
) -> None:
    faulty.denied_paths = (f"/{root.bucket}",)
    with pytest.raises(UsageError, match=r"store\.path .*access denied"):
        Store(str(root), root.options)
    with pytest.raises(UsageError, match=r"store\.path .*no such bucket"):
        Store("s3a://no-such-bucket-here/x", root.options)
    nobody = StoreOptions(S3Options(endpoint="http://127.0.0.1:9", region="us-east-1"))
    with pytest.raises(UsageError, match=r"store\.path .*127\.0\.0\.1:9"):
        Store(str(root), nobody)


def test_unused_data_is_collected(store: Store, root: ObjectPath) -> None:
    for version in ("v1", "v2"):
        with store.versions.create("items", version) as folder:
            fill(folder, version)
    store.set_latest("items", "v2", "night2")
    unused = ("models/0123456789abcdef/model.safetensors", "quantisers/0123456789abcdef.npy")
    for name in unused:
        (root / name).write_text("{}")
    for version, run in (("v1", "night1"), ("v2", "night2")):
        store.write_record(StageRecord("ingest", version, run, {}, {"items": 1}))
    garbage = gc.collect(store, 1)
    assert sorted(str(relative_to(path, root)) for path in garbage.data) == [
        "models/0123456789abcdef",
        "quantisers/0123456789abcdef.npy",
        "tables/items/version=v1",
    ]
    same_size = sum(path.stat().st_size for path in folder.iterdir())
    assert garbage.size == len("{}") * 2 + same_size
    assert files(store) == ["v2"]
    assert [store.has_table("items", version) for version in ("v1", "v2")] == [False, True]
    assert not any((root / name).exists() for name in unused)
    assert [path.stem for path in (root / "stages" / "ingest").iterdir()] == ["v2"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"folder": 3}'])
def test_a_damaged_marker_is_said_and_its_version_is_made_again(
    store: Store, root: ObjectPath, dead_tag: str, content: str
) -> None:
    with store.versions.create("items", "v1") as lost:
        fill(lost, "lost")
    (lost / "_claim").write_text(json.dumps({"mark": dead_tag}))
    marker = root / "tables" / "items" / "_whole" / "v1.json"
    marker.write_text(content)
    assert "v1.json: damaged" in store.find_table_damage("items", "v1")
    with pytest.raises(DamagedError, match="run: nitamono run"):
        store.dataset("items", "v1")
    # Nothing is deleted while it is not known which folder the marker named.
    with lock.hold_store(store, "night1"):
        assert files(store) == ["lost"]
    with store.versions.create("items", "v1") as folder:
        fill(folder, "again")
    assert store.table_path("items", "v1") == folder
    assert leftovers.remove_leftovers(store) == [lost]
    assert files(store) == ["again"]


def test_a_damaged_claim_stops_nobody(store: Store, root: ObjectPath) -> None:
    unfinished = root / "tables" / "items" / "version=v1"
    for content in ("{", "[]", "{}"):
        (unfinished / "_claim").write_text(content)
        with lock.hold_store(store, "night1"):
            assert (unfinished / "_claim").is_file()


def test_the_folder_of_a_version_that_was_made_again_is_published(store: Store) -> None:
    for table in publications.POINTERS:
        with store.versions.create(table, "v1") as folder:
            fill(folder, "lost")
            (folder / "part-0.parquet").write_text("dame")
    publications.publish(store, "run1", dict.fromkeys(publications.POINTERS.values(), "v1"))
    with store.versions.create("items", "v1") as folder:
        fill(folder, "again")
    publications.recover(store)
    latest = store.latest("items")
    assert latest is not None
    assert latest["path"] == str(folder)
