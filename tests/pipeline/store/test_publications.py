"""What is published moves forward and back together."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DamagedError, UsageError
from pipeline.store import publications, retention
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from tests.pipeline import fakes
from tests.pipeline.places import on_disk


def published(store: Store) -> dict[str, str]:
    """The version that each pointer names."""
    pointers = {table: store.latest(table) for table in publications.POINTERS}
    return {table: pointer["version"] for table, pointer in pointers.items() if pointer}


def pointers_of(night: int) -> dict[str, str]:
    stages = publications.POINTERS.items()
    return {table: fakes.fingerprint(night, stage) for table, stage in stages}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three nights, published one after the other."""
    store = Store(str(tmp_path / "store"))
    for night in (1, 2, 3):
        fakes.publish(store, night)
    return store


def test_rolling_back_twice_goes_back_twice_and_every_pointer_comes_along(store: Store) -> None:
    assert published(store) == pointers_of(3)
    for night in (2, 1):
        was, now = rollback(store)
        assert (was.version, now.version) == (fakes.version(night + 1), fakes.version(night))
        assert now.run_id == f"run{night}"
        assert published(store) == pointers_of(night)
    with pytest.raises(UsageError, match=f"nothing was published before .*{fakes.version(3)}"):
        rollback(store)
    assert published(store) == pointers_of(1)
    actions = [entry.action for entry in publications.entries(store)]
    assert actions == ["published"] * 3 + ["rolled_back"] * 2
    assert all(store.table_path("similar_items", fakes.version(n)).is_dir() for n in (1, 2, 3))


def test_the_similar_item_table_moves_last(store: Store) -> None:
    rollback(store)
    moved = {
        table: (on_disk(store.root / "tables") / table / "LATEST").stat().st_mtime_ns
        for table in publications.POINTERS
    }
    assert max(moved, key=lambda table: moved[table]) == "similar_items"


@pytest.mark.parametrize("name", [fakes.version(1), "run1"])
def test_a_version_is_named_by_itself_or_its_run_and_forward_again(store: Store, name: str) -> None:
    rollback(store, name)
    assert published(store) == pointers_of(1)
    rollback(store, fakes.version(3))
    assert published(store) == pointers_of(3)
    # Before the third night there was the second, whatever was done since.
    rollback(store)
    assert published(store) == pointers_of(2)


def test_a_version_published_twice_goes_back_to_what_was_before_each_time(store: Store) -> None:
    stages = {stage: fakes.fingerprint(1, stage) for stage in fakes.TABLES}
    publications.publish(store, "again", stages)
    for night in (3, 2, 1):
        rollback(store)
        assert published(store) == pointers_of(night)
    with pytest.raises(UsageError, match="nothing was published before"):
        rollback(store)


def test_publishing_the_same_again_is_no_publication(store: Store) -> None:
    stages = {stage: fakes.fingerprint(3, stage) for stage in fakes.TABLES}
    publications.publish(store, "again", stages)
    assert len(publications.entries(store)) == 3
    # The same similar items of another reading of the catalogue: going back skips it.
    publications.publish(store, "touched", stages | {"ingest": fakes.fingerprint(4, "ingest")})
    latest = store.latest()
    assert latest is not None
    assert latest["run_id"] == "run3"
    rollback(store)
    assert published(store) == pointers_of(2)


def test_a_version_whose_tables_are_gone_is_refused_with_those_that_are_there(
    store: Store,
) -> None:
    store.discard_version("embeddings", fakes.fingerprint(2, "embed"))
    with pytest.raises(
        UsageError, match=r"of its tables embeddings are not in the store"
    ) as raised:
        rollback(store)
    assert f"{fakes.version(1)} (run run1)" in str(raised.value)
    assert fakes.version(2) not in str(raised.value).partition("name one of these")[2]
    assert published(store) == pointers_of(3)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "nothing was never published; name one of these"), ("run3", "published already")],
)
def test_a_name_that_cannot_be_gone_back_to_is_refused(
    store: Store, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        rollback(store, name)


def test_an_empty_store_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is published in"):
        rollback(Store(str(tmp_path)))


def test_what_an_earlier_release_published_can_be_gone_back_to(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stages = fakes.make(store, 1)
    for table, stage in publications.POINTERS.items():
        store.set_latest(table, stages[stage], "run1")
    fakes.publish(store, 2)
    rollback(store)
    assert published(store) == pointers_of(1)


def test_a_publication_that_was_killed_before_its_last_pointer_never_was(store: Store) -> None:
    fakes.publish(store, 4)
    store.set_latest("similar_items", fakes.version(3), "run3")
    fakes.publish(store, 5)
    rollback(store)
    assert published(store) == pointers_of(3)


def publish_and_die(store: Store, after: int) -> None:
    """Publish a fourth night in a process that is killed once so many pointers have moved."""
    pid = os.fork()
    if not pid:
        set_latest = store.set_latest

        def then_die(table: str, version: str, run_id: str, variants: Any = None) -> None:
            set_latest(table, version, run_id, variants)
            if list(publications.POINTERS).index(table) == after - 1:
                os.kill(os.getpid(), signal.SIGKILL)

        store.set_latest = then_die  # type: ignore[method-assign]
        fakes.publish(store, 4)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("after", range(1, len(publications.POINTERS)))
def test_pointers_of_a_killed_run_are_put_back(store: Store, after: int) -> None:
    publish_and_die(store, after)
    assert published(store)["items"] == pointers_of(4)["items"]
    for _ in range(2):
        publications.recover(store)
        assert published(store) == pointers_of(3)


def test_once_the_last_pointer_has_moved_the_run_has_published(store: Store) -> None:
    publish_and_die(store, len(publications.POINTERS))
    publications.recover(store)
    assert published(store) == pointers_of(4)


def test_a_first_publication_that_is_killed_leaves_nothing_published(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "empty"))
    publish_and_die(store, 2)
    assert set(published(store)) == {"items", "quarantine"}
    publications.recover(store)
    assert published(store) == {}


def test_a_failure_among_the_pointers_is_undone_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_latest = store.set_latest
    failed: list[str] = []

    def full(table: str, version: str, run_id: str, variants: Any = None) -> None:
        if table == "embeddings" and not failed:
            failed.append(table)
            raise OSError(28, "No space left on device")
        set_latest(table, version, run_id, variants)

    monkeypatch.setattr(store, "set_latest", full)
    with pytest.raises(OSError, match="No space left"):
        fakes.publish(store, 4)
    assert published(store) == pointers_of(3)


@pytest.mark.parametrize("table", ["items", "similar_items"])
def test_a_damaged_version_is_not_published_again(store: Store, table: str) -> None:
    stage = publications.POINTERS[table]
    (file,) = on_disk(store.table_path(table, fakes.fingerprint(2, stage))).glob("*.parquet")
    # Of the similar-item table every byte counts, of the others the sizes.
    file.write_bytes(b"y" * 100 if table == "similar_items" else b"y" * 99)
    message = f"{fakes.version(2)} can't be published again: .*{file.name}.*; name one of these: "
    with pytest.raises(DamagedError, match=message + fakes.version(1)):
        rollback(store)
    assert published(store) == pointers_of(3)
    rollback(store, fakes.version(1))
    assert published(store) == pointers_of(1)


def publish_with_variant(store: Store, night: int, variant: int) -> None:
    """Publish the table of a night, with that of another night as its variant b."""
    stages = fakes.make(store, night)
    variant_stages = fakes.make(store, variant)
    own = {f"{stage}@b": variant_stages[stage] for stage in ("neighbors", "publish")}
    publications.publish(store, f"run{night}b{variant}", stages | own)


def test_a_variant_changes_while_the_table_stays(store: Store) -> None:
    publish_with_variant(store, 4, 5)
    publish_with_variant(store, 4, 6)
    assert store.latest_variants() == {"b": fakes.version(6)}
    latest = store.latest()
    assert latest is not None
    assert (latest["version"], latest["run_id"]) == (fakes.version(4), "run4b6")
    entry = publications.current(store)
    assert entry is not None
    assert entry.run_id == "run4b6"
    # Both stay, and a rollback leads from one to the other.
    kept = retention.find_retained(store, 2).versions
    assert {fakes.version(5), fakes.version(6)} <= set(kept)
    assert fakes.version(3) not in kept
    _, now = rollback(store)
    assert now.run_id == "run4b5"
    assert store.latest_variants() == {"b": fakes.version(5)}
    with pytest.raises(UsageError, match="run4b5 is published already"):
        rollback(store, "run4b5")
    _, now = rollback(store, fakes.version(4))
    assert now.run_id == "run4b6"


def test_a_variant_whose_pointer_never_moved_is_not_published(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_with_variant(store, 4, 5)
    with monkeypatch.context() as patch:
        patch.setattr(store, "set_latest", lambda *_: os._exit(9))
        pid = os.fork()
        if not pid:
            publish_with_variant(store, 4, 6)
        os.waitpid(pid, 0)
    assert publications.entries(store)[-1].run_id == "run4b6"
    publications.recover(store)
    assert store.latest_variants() == {"b": fakes.version(5)}
    entry = publications.current(store)
    assert entry is not None
    assert entry.run_id == "run4b5"
