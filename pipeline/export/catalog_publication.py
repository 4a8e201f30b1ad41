"""Publishing a version in the store and in a table of a catalog, so that both have the same one.

A note of what is about to be published is written first, then the table is committed, then the
store's pointers move, then the note is removed. Where the note is still there, somebody was killed
in between: what the table has says whether its version is published to the end, or was never begun.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import StageError
from pipeline.export.catalog_table import CatalogTable, Published, recall_of
from pipeline.store import pending as notes
from pipeline.store import publications
from pipeline.store.pending import Pending
from pipeline.store.publications import Publication
from pipeline.store.rollback import find_target, rollback
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
    notes.write(store, pending)
    if not table.has(spark, store, pending.version):
        published = Published(pending.version, pending.run_id, recall_of(store, pending.stages))
        try:
            table.write(spark, store, published)
        except Exception:
            # A commit may have succeeded though its answer was lost.
            if not table.has(spark, store, pending.version):
                notes.remove(store)
            raise
    yield
    notes.remove(store)


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


def finish_pending(store: Store, spark: "Callable[[], SparkSession]") -> Pending | None:
    """Bring the store in line with the table, after a publication was broken off.

    Args:
        store: the store; the caller holds its lock.
        spark: gives a session; it is called only if something was broken off.

    Returns:
        the publication, if the table had it, so that it was finished.

    Raises:
        StageError: the table can't be read; the message names the note.
    """
    pending = notes.read(store)
    if pending is None:
        return None
    what = f"publishing version {pending.version} of run {pending.run_id} was broken off"
    try:
        is_there = CatalogTable(pending.table).has(spark(), store, pending.version)
    except StageError as error:
        raise StageError(
            f"{what}, and what table {pending.table} has can't be read: {error}. Give [spark] what "
            f"it had then; or, if the table is gone for good, delete {notes.path(store)}"
        ) from error
    if is_there:
        _move_pointers(store, pending)
        store.say(f"{what} when table {pending.table} had it: now LATEST names it too")
    else:
        store.say(f"{what} before table {pending.table} had it: nothing has changed")
    notes.remove(store)
    return pending if is_there else None


def _move_pointers(store: Store, pending: Pending) -> None:
    """Publish the version in the store; if it is published there, nothing changes."""
    latest = store.latest()
    if not pending.is_rollback:
        publications.publish(store, pending.run_id, pending.stages)
    elif latest is None or latest["version"] != pending.version:
        rollback(store, pending.version)
