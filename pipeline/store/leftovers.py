"""Leftovers: unfinished files and folders of dead runs, found by their names and removed."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.storage import file_owners
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.store.store import Store

# If it can't be known whether the owner lives, the owner is taken for dead once it has written
# nothing for so long.
_ABANDONED_SECONDS = 3 * 24 * 3600.0
_UNFINISHED = re.compile(r"_writing-|_deleting-|\.|version=")
# Names of earlier releases, without an owner's tag.
_UNTAGGED = re.compile(r"(_writing-|\.probe-|\..+\.)[0-9a-f]{32}")


def remove_leftovers(store: Store) -> list[StoragePath]:
    """Remove the unfinished files and folders that no living process can be working on.

    Returns:
        the paths that were removed.
    """
    removed = [path for path in unfinished_paths(store.root) if _has_dead_owner(path)]
    versions = [
        path
        for path, owner in store.versions.unfinished()
        if is_abandoned(path, alive=owner.is_alive() if owner else None)
    ]
    for path in versions:
        store.versions.unregister(path)
    removed += versions
    for path in removed:
        with suppress(OSError):
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink()
    return removed


def unfinished_paths(root: StoragePath) -> Iterator[StoragePath]:
    """Every file and folder of a store that has the name of something unfinished.

    In an object store the names of tables' folders do not show it: see pipeline.store.versions.
    """
    folders = [root, root / "models" / "current", root / "quantisers" / "current"]
    tables = ("tables/*",) if isinstance(root, Path) else ()
    for pattern in ("*", *tables, "stages/*", "runs/*"):
        folders += root.glob(pattern)
    for folder in folders:
        if folder.is_dir() and not _is_unfinished(folder.name):
            yield from (path for path in folder.iterdir() if _is_unfinished(path.name))


def _is_unfinished(name: str) -> bool:
    tagged = _UNFINISHED.match(name) and file_owners.owner(name)
    return bool(tagged or _UNTAGGED.fullmatch(name))


def _has_dead_owner(path: StoragePath) -> bool:
    owner = file_owners.owner(path.name)
    return is_abandoned(path, alive=owner.is_alive() if owner else None)


def is_abandoned(path: StoragePath, *, alive: bool | None) -> bool:
    """Whether no process is working on a file or folder any more.

    Args:
        path: the file or folder.
        alive: whether its process lives; None if that can't be known.
    """
    if alive is not None:
        return not alive
    return time.time() - _last_change(path) > _ABANDONED_SECONDS


def _last_change(path: StoragePath) -> float:
    latest = 0.0
    for file in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            latest = max(latest, file.stat().st_mtime)
    return latest
