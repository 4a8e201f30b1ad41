"""What dead runs have left unfinished in a store: found by its names, and removed."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.storage import processes
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.store.store import Store

# Where it can't be known whether the owner lives, it does not if it wrote nothing for so long.
_ABANDONED_SECONDS = 3 * 24 * 3600.0
_UNFINISHED = re.compile(r"_writing-|_deleting-|\.|version=")
# As releases before this one called them.
_UNMARKED = re.compile(r"(_writing-|\.probe-|\..+\.)[0-9a-f]{32}")


def remove_leftovers(store: Store) -> list[StoragePath]:
    """Remove what no living process can be at work on.

    Returns:
        what was removed.
    """
    gone = [path for path in unfinished_paths(store.root) if _abandoned(path)]
    versions = [
        path
        for path, owner in store.versions.unfinished()
        if is_abandoned(path, alive=owner.is_alive() if owner else None)
    ]
    for path in versions:
        store.versions.unregister(path)
    gone += versions
    for path in gone:
        with suppress(OSError):
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink()
    return gone


def unfinished_paths(root: StoragePath) -> Iterator[StoragePath]:
    """Everything in a store that carries the name of something unfinished.

    In an object store the names of tables' folders tell nothing: see pipeline.store.versions.
    """
    folders = [root, root / "models" / "current", root / "quantisers" / "current"]
    tables = ("tables/*",) if isinstance(root, Path) else ()
    for pattern in ("*", *tables, "stages/*", "runs/*"):
        folders += root.glob(pattern)
    for folder in folders:
        if folder.is_dir() and not _is_unfinished(folder.name):
            yield from (path for path in folder.iterdir() if _is_unfinished(path.name))


def _is_unfinished(name: str) -> bool:
    marked = _UNFINISHED.match(name) and processes.owner(name)
    return bool(marked or _UNMARKED.fullmatch(name))


def _abandoned(path: StoragePath) -> bool:
    owner = processes.owner(path.name)
    return is_abandoned(path, alive=owner.is_alive() if owner else None)


def is_abandoned(path: StoragePath, *, alive: bool | None) -> bool:
    """Whether nobody is at work on a file or folder any more.

    Args:
        path: of it.
        alive: whether its process lives; None where that can't be known.
    """
    if alive is not None:
        return not alive
    return time.time() - _last_written(path) > _ABANDONED_SECONDS


def _last_written(path: StoragePath) -> float:
    latest = 0.0
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            latest = max(latest, each.stat().st_mtime)
    return latest
