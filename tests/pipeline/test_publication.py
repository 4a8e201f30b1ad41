"""When a run publishes, and pointers that move together."""

import os
import signal
from pathlib import Path

import pytest

from pipeline import config, publication
from pipeline.store import Store

TRUE, FALSE = "[publish]\npublish = true\n", "[publish]\npublish = false\n"


@pytest.mark.parametrize(
    ("file", "sets", "published", "expected"),
    [
        ("", [], True, True),
        ("", ["neighbors.k=20"], True, False),
        ("", ["neighbors.k=20"], False, True),
        ("", ["catalogue.path=other.csv"], True, False),
        ("", ["spark.master=local[1]"], True, True),
        ("", ["publish.min_recall=0.5"], True, True),
        ("", ["neighbors.k=20", "publish.publish=true"], True, True),
        (TRUE, [], True, True),
        (TRUE, ["neighbors.k=20"], True, False),
        (TRUE, ["catalogue.path=tonight.csv"], True, True),
        (TRUE, ["publish.publish=false"], True, False),
        (FALSE, [], True, False),
        (FALSE, [], False, False),
        (FALSE, ["publish.publish=true"], True, True),
    ],
)
def test_an_experiment_does_not_publish(
    tmp_path: Path, file: str, sets: list[str], published: bool, expected: bool
) -> None:
    toml = tmp_path / "nitamono.toml"
    toml.write_text(f'[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n{file}')
    store = Store(str(tmp_path / "store"))
    if published:
        store.point("similar_items", "v1", "night1")
    assert publication.wanted(config.load(toml, sets, {}), sets, store) == expected


def versions(store: Store) -> dict[str, str | None]:
    tables = ("items", "quarantine", "similar_items")
    return {name: (store.latest(name) or {}).get("version") for name in tables}


def publish_and_die(store: Store, tables: list[str]) -> None:
    """In a process that is killed after moving the pointers of these tables."""
    pid = os.fork()
    if not pid:
        with publication.undone_unless_finished(store):
            for table in tables:
                store.point(table, "v2", "night2")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    for table in ("items", "similar_items"):
        store.point(table, "v1", "night1")
    return store


def test_pointers_of_a_killed_run_are_put_back(store: Store) -> None:
    before = versions(store)
    publish_and_die(store, ["items", "quarantine"])
    assert versions(store)["items"] == "v2"
    publication.recover(store)
    assert versions(store) == before
    assert list((store.root / "locks").iterdir()) == []
    publication.recover(store)
    assert versions(store) == before


def test_once_the_last_pointer_has_moved_the_run_has_published(store: Store) -> None:
    publish_and_die(store, ["items", "quarantine", "similar_items"])
    publication.recover(store)
    assert set(versions(store).values()) == {"v2"}


def test_a_failure_among_the_pointers_is_undone_at_once(store: Store) -> None:
    before = versions(store)

    def fail() -> None:
        with publication.undone_unless_finished(store):
            store.point("items", "v2", "night2")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert versions(store) == before
