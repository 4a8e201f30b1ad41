"""gc: find and delete what neither the published versions nor the running runs need."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DamagedError
from pipeline.storage.file_owners import owner, owner_tag
from pipeline.storage.paths import StoragePath, remove_tree, sorted_by_address
from pipeline.store import file_list, retention
from pipeline.store.retention import Retained
from pipeline.store.store import Store
from pipeline.store.versions import DAMAGED

_QUANTISER = re.compile(r"([0-9a-f]{16})(\.npy|\.sizes\.npy|\.files\.json)")
_MODEL = re.compile(r"[0-9a-f]{16}")
# What a run that failed, or tried something out, has left in its folder is of use for so long.
_RUN_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class Garbage:
    """What can be deleted.

    Attributes:
        records: the files of stage records.
        data: size in bytes of each folder or file of tables, models, quantisers and runs.
        retained: what stays, and why.
    """

    records: list[StoragePath]
    data: dict[StoragePath, int]
    retained: Retained

    @property
    def size(self) -> int:
        """Bytes that deleting it frees."""
        return sum(self.data.values())


def find_garbage(
    store: Store, keep: int, also_keep: Iterable[str] = (), *, runs: int | None = None
) -> Garbage:
    """Find what can be deleted.

    Args:
        store: the store to look through.
        keep: number of the versions published last that stay.
        also_keep: fingerprints of outputs that stay too.
        runs: number of the newest runs whose folders stay, beside those of runs that something is
            left of; None: of the latter only, and of runs of the last 30 days.
    """
    retained = retention.find_retained(store, keep, also_keep)
    data = [*_tables(store, retained), *_models(store, retained), *_quantisers(store, retained)]
    # What a running run has written but not yet recorded is newer than the run's start.
    old = [path for path in data if _newest_change(path) < retained.before]
    old += _runs(store, retained, runs)
    records = [
        path
        for path in sorted_by_address((store.root / "stages").glob("*/*.json"))
        if path.stem not in retained.versions and _newest_change(path) < retained.before
    ]
    return Garbage(records, {path: _size(path) for path in old}, retained)


def collect(store: Store, keep: int, *, runs: int | None = None) -> Garbage:
    """Delete the garbage: records first, so that no record exists without its data.

    Args:
        store: the store; the caller holds its lock.
        keep: number of the versions published last that stay.
        runs: as for `find_garbage`.

    Returns:
        what was deleted.
    """
    records = {path: path.read_bytes() for path in find_garbage(store, keep).records}
    for path in records:
        path.unlink()
    # A run that began to use an output before its record was deleted has said so in run.json by
    # now; its record is written back. A run that begins to use one later looks for the record
    # again, and does not find it.
    retained = retention.find_retained(store, keep).versions
    for path in [path for path in records if path.stem in retained]:
        path.write_bytes(records.pop(path))
    # Data whose record was needed a moment ago stays until the next gc.
    recorded = [path.stem for path in (store.root / "stages").glob("*/*.json")]
    garbage = find_garbage(store, keep, recorded, runs=runs)
    _delete(store, garbage.data)
    return Garbage(list(records), garbage.data, garbage.retained)


def _delete(store: Store, paths: Iterable[StoragePath]) -> None:
    """Delete files and folders; each loses its name first, so that no reader sees half a table."""
    unnamed: list[StoragePath] = []
    for path in paths:
        if isinstance(path, Path):
            with suppress(FileNotFoundError):
                unnamed.append(path.rename(path.with_name(f"_deleting-{owner_tag()}")))
        else:
            store.versions.unregister(path)
            unnamed.append(path)
    for path in unnamed:
        remove_tree(path)
        path.unlink(missing_ok=True)


def _tables(store: Store, retained: Retained) -> Iterator[StoragePath]:
    unneeded: list[StoragePath] = []
    shared: set[StoragePath] = set()
    for version, path in store.versions.all_versions():
        if version in retained.versions:
            shared.update(path.parent / folder for folder in _folders_of(path))
        # A version with an owner's tag is unfinished: pipeline.store.leftovers removes it.
        elif not owner(version):
            unneeded.append(path)
    # A folder whose files are a part of a version that stays, stays too.
    yield from (path for path in unneeded if path not in shared)
    if isinstance(store.root, Path):
        yield from sorted((store.root / "tables").glob(f"*/{DAMAGED}*"))


def _folders_of(path: StoragePath) -> set[str]:
    """The names of the folders of other versions that a version needs.

    Raises:
        DamagedError: its list of files is damaged.
    """
    try:
        files = file_list.read(path)
    except DamagedError as error:
        raise DamagedError(
            error.what,
            "nothing was deleted; run nitamono run --config FILE, which makes what is published "
            "again; if it is of an older version, put its copy of a backup in its place, or delete "
            "the folder: its version can't be used then",
        ) from error
    return files.folders if files else set()


def _models(store: Store, retained: Retained) -> Iterator[StoragePath]:
    for path in sorted_by_address((store.root / "models").glob("*")):
        if _MODEL.fullmatch(path.name) and path.name not in retained.models:
            yield path


def _quantisers(store: Store, retained: Retained) -> Iterator[StoragePath]:
    for path in sorted_by_address((store.root / "quantisers").glob("*.*")):
        match = _QUANTISER.fullmatch(path.name)
        if match and match[1] not in retained.quantisers:
            yield path


def _runs(store: Store, retained: Retained, count: int | None) -> Iterator[StoragePath]:
    """The folders of runs that nothing is left of, and that are old.

    Args:
        store: the store to look through.
        retained: what stays.
        count: how many runs are not old; None: those of the last 30 days are not.
    """
    oldest = min(retained.before, time.time() - _RUN_SECONDS)
    older = set() if count is None else set(retained.all_runs[count:])
    newest = set() if count is None else set(retained.all_runs[:count])
    for path in sorted_by_address((store.root / "runs").glob("*")):
        if path.name in retained.runs or path.name in newest:
            continue
        # The folder of a run that has just begun may have no run.json yet.
        if _newest_change(path) < (retained.before if path.name in older else oldest):
            yield path


def _newest_change(path: StoragePath) -> float:
    """When a file, or the newest file in a folder, was changed, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in _walk(path)), default=time.time())


def _size(path: StoragePath) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _walk(path) if file.is_file())


def _walk(path: StoragePath) -> list[StoragePath]:
    paths = [path, *path.rglob("*")] if path.is_dir() else [path]
    # Another process may delete some of them in the meantime.
    return [file for file in paths if file.exists()]
