"""Finding and deleting what neither the published versions nor the runs under way need."""

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import needs
from pipeline.needs import Needs
from pipeline.store import Store

_DAY = 24 * 3600
_WRITING, _DELETING = "_writing-", "_deleting-"
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

    records: list[Path]
    data: dict[Path, int]
    needs: Needs

    @property
    def size(self) -> int:
        """Bytes that deleting it frees."""
        return sum(self.data.values())


def find(store: Store, keep: int) -> Garbage:
    """What a store holds that is not needed.

    Args:
        store: to look through.
        keep: so many of the versions published last are needed.
    """
    needed = needs.of(store, keep)
    data = [*_tables(store, needed), *_models(store, needed), *_quantisers(store, needed)]
    # What a run under way has made but not yet recorded is newer than its start.
    old = [path for path in data if _newest(path) < needed.before]
    left = [path for path in _leftovers(store) if _newest(path) < needed.before]
    records = [
        path
        for path in sorted((store.root / "stages").glob("*/*.json"))
        if path.stem not in needed.versions and _newest(path) < needed.before
    ]
    return Garbage(records, {path: _size(path) for path in [*old, *left]}, needed)


def delete(garbage: Garbage) -> None:
    """Delete it: the records first, so that no record is ever without what it tells of.

    What is deleted loses its name before its content goes: half of a table is never seen.
    """
    for record in garbage.records:
        record.unlink(missing_ok=True)
    renamed = []
    for path in garbage.data:
        target = path
        if not path.name.startswith(_DELETING):
            target = path.with_name(f"{_DELETING}{uuid.uuid4().hex}")
            with suppress(FileNotFoundError):
                path.rename(target)
        renamed.append(target)
    for path in renamed:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _tables(store: Store, needed: Needs) -> Iterator[Path]:
    # A trial of neighbors is called as its version with a number: no fingerprint, so not needed.
    for path in sorted((store.root / "tables").glob("*/version=*")):
        if path.name.removeprefix("version=") not in needed.versions:
            yield path


def _models(store: Store, needed: Needs) -> Iterator[Path]:
    for path in sorted((store.root / "models").glob("*")):
        if _MODEL.fullmatch(path.name) and path.name not in needed.models:
            yield path


def _quantisers(store: Store, needed: Needs) -> Iterator[Path]:
    for path in sorted((store.root / "quantisers").glob("*.npy")):
        found = _QUANTISER.fullmatch(path.name)
        if found and found[1] not in needed.quantisers:
            yield path


def _leftovers(store: Store) -> Iterator[Path]:
    """What was being written, or deleted, by a process that has been killed."""
    long_ago = time.time() - _DAY
    for folder in ("tables/*", "models", "quantisers"):
        yield from sorted(store.root.glob(f"{folder}/{_DELETING}*"))
        for path in sorted(store.root.glob(f"{folder}/{_WRITING}*")):
            if _newest(path) < long_ago:
                yield path


def _newest(path: Path) -> float:
    """When a file, or the newest in a folder, was changed, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in _walk(path)), default=time.time())


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in _walk(path) if file.is_file())


def _walk(path: Path) -> list[Path]:
    found = [path, *path.rglob("*")] if path.is_dir() else [path]
    # What goes meanwhile is another's to delete.
    return [file for file in found if file.exists()]
