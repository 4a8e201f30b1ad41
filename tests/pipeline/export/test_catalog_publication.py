"""Publishing in the store and in a table of a catalog: whatever breaks off, both agree again.

The table is a double that keeps its version; the real ones are in tests/lakehouse.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.export import catalog_publication
from pipeline.export.catalog_publication import committed, finish_pending, rollback_both
from pipeline.export.catalog_table import CatalogTable
from pipeline.store import gc, publications
from pipeline.store.pending import Pending
from pipeline.store.store import Store
from tests.pipeline import fakes

SPARK: Any = object()


class Killed(BaseException):
    """Ends everything, as SIGKILL does: nothing in the code catches it."""


class TableDouble(CatalogTable):
    """A table in memory."""

    held = ""
    breaks: type[BaseException] | None = None

    def has(self, spark: Any, store: Store, version: str) -> bool:
        return type(self).held == version

    def write(self, spark: Any, store: Store, published: Any) -> None:
        if (breaks := type(self).breaks) is not None:
            raise breaks("no")
        type(self).held = published.version


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogTable]:
    monkeypatch.setattr(catalog_publication, "CatalogTable", TableDouble)
    TableDouble.held, TableDouble.breaks = "", None
    yield TableDouble("lake.shop.similar_items")


@pytest.fixture
def store(tmp_path: Path, table: CatalogTable) -> Store:
    """A store in which two nights are published, in the table too."""
    store = Store(str(tmp_path / "store"))
    for night in (1, 2):
        publish(store, table, night)
    return store


def publish(store: Store, table: CatalogTable, night: int) -> None:
    stages = fakes.make(store, night)
    pending = Pending(table.name, fakes.version(night), f"run{night}", stages)
    with committed(store, table, SPARK, pending):
        publications.publish(store, pending.run_id, pending.stages)


def versions(store: Store) -> tuple[str, str]:
    """The version of the store, and that of the table."""
    pointer = store.latest()
    assert pointer is not None
    return pointer["version"], TableDouble.held


def both(night: int) -> tuple[str, str]:
    return fakes.version(night), fakes.version(night)


def has_note(store: Store) -> bool:
    return (Path(str(store.root)) / "publications" / "pending.json").exists()


def finish(store: Store) -> list[str]:
    """What the next run does first, and what it says."""
    said: list[str] = []
    store.print_line = said.append
    finish_pending(store, lambda: SPARK)
    assert not has_note(store)
    return said


def test_both_have_the_version_that_is_published(store: Store) -> None:
    assert versions(store) == both(2)
    assert finish(store) == []


def test_killed_before_the_commit_nothing_has_changed(store: Store, table: CatalogTable) -> None:
    TableDouble.breaks = Killed
    with pytest.raises(Killed):
        publish(store, table, 3)
    assert versions(store) == both(2)
    (line,) = finish(store)
    assert "was broken off before table lake.shop.similar_items had it" in line
    assert versions(store) == both(2)


@pytest.mark.parametrize("before_pointer", [True, False])
def test_killed_after_the_commit_the_next_run_publishes_it_in_the_store(
    store: Store, table: CatalogTable, monkeypatch: pytest.MonkeyPatch, before_pointer: bool
) -> None:
    real = publications.publish

    def killed(store: Store, run_id: str, stages: dict[str, str]) -> None:
        if not before_pointer:
            real(store, run_id, stages)
        raise Killed

    monkeypatch.setattr(publications, "publish", killed)
    with pytest.raises(Killed):
        publish(store, table, 3)
    monkeypatch.undo()
    monkeypatch.setattr(catalog_publication, "CatalogTable", TableDouble)
    assert versions(store) == (fakes.version(2 if before_pointer else 3), fakes.version(3))
    (line,) = finish(store)
    assert "now LATEST names it too" in line
    assert versions(store) == both(3)


def test_commit_that_fails_leaves_both_as_they_were(store: Store, table: CatalogTable) -> None:
    TableDouble.breaks = StageError
    with pytest.raises(StageError):
        publish(store, table, 3)
    assert versions(store) == both(2)
    assert not has_note(store)


def test_rollback_takes_both_back(store: Store, table: CatalogTable) -> None:
    was, now = rollback_both(store, table, SPARK, None)
    assert (was.version, now.version) == (fakes.version(2), fakes.version(1))
    assert versions(store) == both(1)


def test_rollback_that_was_killed_after_the_commit_is_finished(
    store: Store, table: CatalogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(catalog_publication, "rollback", killed)
        with pytest.raises(Killed):
            rollback_both(store, table, SPARK, None)
    assert versions(store) == (fakes.version(2), fakes.version(1))
    finish(store)
    assert versions(store) == both(1)


def test_table_that_has_the_version_is_not_written_again(store: Store, table: CatalogTable) -> None:
    TableDouble.breaks = AssertionError
    publish(store, table, 2)
    assert versions(store) == both(2)


def test_gc_keeps_what_was_broken_off_after_the_commit(
    store: Store, table: CatalogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(publications, "publish", killed)
        with pytest.raises(Killed):
            publish(store, table, 3)
    gc.collect(store, 1)
    assert store.has_table("similar_items", fakes.version(3))
    finish(store)
    assert versions(store) == both(3)


def test_table_that_can_not_be_read_is_named_with_the_note(
    store: Store, table: CatalogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    TableDouble.breaks = Killed
    with pytest.raises(Killed):
        publish(store, table, 3)

    def fails(*_: object) -> bool:
        raise StageError("no such catalog")

    monkeypatch.setattr(TableDouble, "has", fails)
    with pytest.raises(StageError, match=r"no such catalog.* delete .*pending\.json"):
        finish_pending(store, lambda: SPARK)
    assert has_note(store)
