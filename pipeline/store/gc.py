"""Finding and deleting what neither the published versions nor the runs under way need."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.paths import StoragePath, remove_tree, sorted_by_address
from pipeline.storage.processes import owner, owner_tag
from pipeline.store import retention
from pipeline.store.retention import Needs
from pipeline.store.store import Store

_QUANTISER = re.compile(r"([0-9a-f]{16})(\.sizes)?\.npy")
_MODEL = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Garbage:
    """What can go.

    Attributes:
        records: files of stage records.
        data: folders and files of tables, models and quantisers, with their bytes.
        needs: what stays, and why.
    """

    records: list[StoragePath]
    data: dict[StoragePath, int]
    needs: Needs

    @property
    def size(self) -> int:
        """Bytes that deleting it frees."""
        return sum(self.data.values())


def find_garbage(store: Store, keep: int, also: Iterable[str] = ()) -> Garbage:
    """What a store holds that is not needed.

    Args:
        store: to look through.
        keep: so many of the versions published last are needed.
        also: outputs that are needed too.
    """
    needed = retention.find_retained(store, keep, also)
    data = [*_tables(store, needed), *_models(store, needed), *_quantisers(store, needed)]
    # What a run under way has made but not yet recorded is newer than its start.
    old = [path for path in data if _newest(path) < needed.before]
    records = [
        path
        for path in sorted_by_address((store.root / "stages").glob("*/*.json"))
        if path.stem not in needed.versions and _newest(path) < needed.before
    ]
    return Garbage(records, {path: _size(path) for path in old}, needed)


def collect(store: Store, keep: int) -> Garbage:
    """Delete it: the records first, so that no record is ever without what it tells of.

    Args:
        store: its lock is held.
        keep: so many of the versions published last are needed.

    Returns:
        what was deleted.
    """
    records = {path: path.read_bytes() for path in find_garbage(store, keep).records}
    for path in records:
        path.unlink()
    # A run that took one of them up before it went has said so by now: it keeps it. One that takes
    # it up only now looks once more, and does not find it.
    needed = retention.find_retained(store, keep).versions
    for path in [path for path in records if path.stem in needed]:
        path.write_bytes(records.pop(path))
    # A record that was needed a moment ago keeps its data until the next time.
    recorded = [path.stem for path in (store.root / "stages").glob("*/*.json")]
    found = find_garbage(store, keep, recorded)
    _remove(store, found.data)
    return Garbage(list(records), found.data, found.needs)


def _remove(store: Store, places: Iterable[StoragePath]) -> None:
    """What is deleted loses its name before its content goes: half of a table is never seen."""
    going: list[StoragePath] = []
    for path in places:
        if isinstance(path, Path):
            with suppress(FileNotFoundError):
                going.append(path.rename(path.with_name(f"_deleting-{owner_tag()}")))
        else:
            store.versions.unregister(path)
            going.append(path)
    for path in going:
        remove_tree(path)
        path.unlink(missing_ok=True)


def _tables(store: Store, needed: Needs) -> Iterator[StoragePath]:
    for version, path in store.versions.all_versions():
        # What carries a process's mark is unfinished: see leftovers.
        if version not in needed.versions and not owner(version):
            yield path


def _models(store: Store, needed: Needs) -> Iterator[StoragePath]:
    for path in sorted_by_address((store.root / "models").glob("*")):
        if _MODEL.fullmatch(path.name) and path.name not in needed.models:
            yield path


def _quantisers(store: Store, needed: Needs) -> Iterator[StoragePath]:
    for path in sorted_by_address((store.root / "quantisers").glob("*.npy")):
        found = _QUANTISER.fullmatch(path.name)
        if found and found[1] not in needed.quantisers:
            yield path


def _newest(path: StoragePath) -> float:
    """When a file, or the newest in a folder, was changed, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in _walk(path)), default=time.time())


def _size(path: StoragePath) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in _walk(path) if file.is_file())


def _walk(path: StoragePath) -> list[StoragePath]:
    found = [path, *path.rglob("*")] if path.is_dir() else [path]
    # What goes meanwhile is another's to delete.
    return [file for file in found if file.exists()]
