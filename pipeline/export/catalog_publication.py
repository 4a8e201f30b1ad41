"""Publishing a version in the store and in a table of a catalog, so that both have the same one.

A note of what is about to be published is written first, then the table is committed, then the
store's pointers move, then the note is removed. Where the note is still there, somebody was killed
in between: what the table has says whether its version is published to the end, or was never begun.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipeline.export.catalog_table import CatalogTable, Published, recall_of
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath
from pipeline.store import publications
from pipeline.store.publications import Publication
from pipeline.store.rollback import find_target, rollback
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FIELDS = {"table": str, "version": str, "run_id": str, "stages": dict, "is_rollback": bool}


@dataclass(frozen=True)
class Pending:
    """A publication that is under way.

    Attributes:
        table: the table of the catalog.
        version: the version that is published.
        run_id: its run.
        stages: the fingerprint of each of its stages.
        is_rollback: whether it was published before.
    """

    table: str
    version: str
    run_id: str
    stages: dict[str, str]
    is_rollback: bool = False

    def move_pointers(self, store: Store) -> None:
        """Publish the version in the store; if it is published there, nothing changes."""
        latest = store.latest()
        if self.is_rollback:
            if latest is None or latest["version"] != self.version:
                rollback(store, self.version)
        else:
            publications.publish(store, self.run_id, self.stages)


def _note(store: Store) -> StoragePath:
    return store.root / "publications" / "pending.json"


@contextmanager
def committed(
    store: Store, table: CatalogTable, spark: "SparkSession", pending: Pending
) -> Iterator[None]:
    """Put a version into the table; the block then publishes it in the store.

    Args:
        store: the store; the caller holds its lock.
        table: the table of the catalog.
        spark: the session.
        pending: what is published.

    Raises:
        UsageError: the table has other columns.
        StageError: the commit fails.
    """
    write_json(_note(store), asdict(pending))
    if table.version(spark) != pending.version:
        published = Published(pending.version, pending.run_id, recall_of(store, pending.stages))
        try:
            table.write(spark, store, published)
        except Exception:
            if table.version(spark) != pending.version:
                _note(store).unlink()
            raise
    yield
    _note(store).unlink()


def rollback_both(
    store: Store, table: CatalogTable, spark: "SparkSession", name: str | None
) -> tuple[Publication, Publication]:
    """Roll back in the store and in the table.

    Args:
        store: the store; the caller holds its lock.
        table: the table of the catalog.
        spark: the session.
        name: a version that was published, or its run; None for what was published before.

    Returns:
        the entry that was current, and the one that is current now.

    Raises:
        UsageError: nothing is published, or there is nothing to go back to.
        DamagedError: a table of the earlier version is damaged.
        StageError: the commit fails.
    """
    _, target = find_target(store, name)
    pending = Pending(table.name, target.version, target.run_id, target.stages, is_rollback=True)
    with committed(store, table, spark, pending):
        return rollback(store, name)


def finish_pending(store: Store, spark: "Callable[[], SparkSession]") -> None:
    """Bring the store in line with the table, after a publication was broken off.

    Args:
        store: the store; the caller holds its lock.
        spark: gives a session; it is called only if something was broken off.
    """
    content = read_object(_note(store), **_FIELDS)
    if content is None:
        return
    pending = Pending(**content)
    what = f"publishing version {pending.version} of run {pending.run_id} was broken off"
    if CatalogTable(pending.table).version(spark()) == pending.version:
        pending.move_pointers(store)
        store.say(f"{what} when table {pending.table} had it: now LATEST names it too")
    else:
        store.say(f"{what} before table {pending.table} had it: nothing has changed")
    _note(store).unlink()
