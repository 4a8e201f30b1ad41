"""Rollback: publish an earlier version again."""

from pipeline.errors import DamagedError, UsageError
from pipeline.store import publications
from pipeline.store.names import check_name
from pipeline.store.publications import Publication
from pipeline.store.store import Store

_MAX_NAMES = 10


def rollback(store: Store, name: str | None = None) -> tuple[Publication, Publication]:
    """Move all pointers back, that of the similar-item table last. Nothing is deleted.

    Args:
        store: the store; the caller holds its lock.
        name: a version that was published, or its run; None for what was published before.

    Returns:
        the entry that was current, and the one that is current now.

    Raises:
        UsageError: nothing is published, or there is nothing to go back to.
        DamagedError: a table of the earlier version is damaged.
    """
    present, target = find_target(store, name)
    return present, publications.enter(
        store,
        publications.ROLLED_BACK,
        target.version,
        target.run_id,
        target.tables,
        target.stages,
        target.before,
    )


def find_target(store: Store, name: str | None = None) -> tuple[Publication, Publication]:
    """The entry that is current, and the one that a rollback publishes again.

    Args:
        store: the store.
        name: as for `rollback`.

    Raises:
        UsageError: as `rollback`.
        DamagedError: as `rollback`.
    """
    present = publications.current(store)
    if present is None:
        raise UsageError(f"nothing is published in {store.root}; run: nitamono run --config FILE")
    target = _rollback_target(store, present, name)
    if missing := target.missing(store):
        raise UsageError(
            f"version {target.version} can't be published again: of its tables "
            f"{', '.join(missing)} are not in the store any more; {_choices(store, present)}"
        )
    if damage := target.find_damage(store):
        raise DamagedError(
            f"version {target.version} can't be published again: {damage}",
            _choices(store, present, target),
        )
    return present, target


def _rollback_target(store: Store, present: Publication, name: str | None) -> Publication:
    if name is None:
        targets = [entry for entry in publications.entries(store) if entry.number == present.before]
        problem = f"nothing was published before version {present.version}"
    elif check_name(name) == present.run_id or _is_only(store, present, name):
        targets, problem = [], f"{name} is published already"
    else:
        entries = publications.entries(store)
        targets = [
            entry
            for entry in entries
            if name in (entry.version, entry.run_id) and entry.shop_tables != present.shop_tables
        ]
        problem = f"{name} was never published"
    if not targets:
        raise UsageError(f"{problem}; {_choices(store, present)}")
    return targets[-1]


def _is_only(store: Store, present: Publication, name: str) -> bool:
    """Whether a version is the current one, and was published with no other variants."""
    tables = [e.shop_tables for e in publications.entries(store) if e.version == name]
    return present.version == name and all(one == present.shop_tables for one in tables)


def _choices(store: Store, *others: Publication) -> str:
    """The versions, other than these, that can be published again, for a message."""
    excluded = {entry.version for entry in others}
    complete = {
        entry.version: entry
        for entry in reversed(publications.entries(store))
        if entry.version not in excluded and not entry.missing(store)
    }
    if not complete:
        return "there is no other version to publish"
    names = [f"{version} (run {entry.run_id})" for version, entry in complete.items()]
    more = f" and {len(names) - _MAX_NAMES} older ones" if len(names) > _MAX_NAMES else ""
    return f"name one of these: {', '.join(names[:_MAX_NAMES])}{more}"
