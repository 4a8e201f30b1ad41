"""Upgrading: a store that an earlier nitamono made gets the present format, in its place.

Each step changes one file, whole or not at all, and is found again as long as it is to be done.
store.json is written last. So an upgrade that is killed is finished by the next one.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedError
from pipeline.redaction import mask, mask_settings
from pipeline.storage.file_owners import owner
from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath, arrow_path
from pipeline.store import file_list, publications, run_records, store_format
from pipeline.store.store import Store


@dataclass(frozen=True)
class Step:
    """One step of an upgrade.

    Attributes:
        path: the file that is written.
        text: what is written into it.
        execute: writes it; False where it can't be, which is said.
    """

    path: StoragePath
    text: str
    execute: Callable[[], bool | None]


def find_steps(store: Store) -> Iterator[Step]:
    """What is still to be done, the file of the format last; nothing if the store has the format.

    A version of a table that is damaged is said, and gets no list of files.
    """
    if store.format == store_format.FORMAT:
        return
    yield from _masked_runs(store)
    yield from _publication(store)
    yield from _file_lists(store)
    text = f"the store has format {store_format.FORMAT}"
    yield Step(store.root / store_format.NAME, text, partial(store_format.mark, store.root))


def _masked_runs(store: Store) -> Iterator[Step]:
    """Releases up to 0.2 wrote all of [spark] into run.json, secrets too."""
    for run in run_records.list_runs(store):
        if run.status == run_records.RUNNING:
            continue  # its process writes the file
        path = store.run_path(run.run_id) / "run.json"
        content = read_json(path)
        masked = _masked(content)
        if masked != content:
            yield Step(path, "secrets are masked", partial(_rewrite, path, masked))


def _masked(content: dict[str, Any]) -> dict[str, Any]:
    return content | {
        "settings": mask_settings(content["settings"]),
        "message": mask(content["message"]),
    }


def _rewrite(path: StoragePath, content: dict[str, Any]) -> None:
    """Write a file again; where that can be, it keeps its time, by which runs are in order."""
    changed = path.stat().st_mtime
    write_json(path, content)
    if isinstance(path, Path):
        os.utime(path, (changed, changed))


def _publication(store: Store) -> Iterator[Step]:
    """What was published before there were entries of publications gets one."""
    current = publications.current(store)
    if current is not None and current.number == 0 and not _is_entered(store):
        text = f"version {current.version} is what is published"
        path = publications.entry_path(store, current)
        yield Step(path, text, partial(publications.write, store, current))


def _is_entered(store: Store) -> bool:
    return any(entry.number == 0 for entry in publications.entries(store))


def _file_lists(store: Store) -> Iterator[Step]:
    """Releases up to 0.2 wrote no lists of files: what becomes damaged was found when read only."""
    for version, folder in store.versions.all_versions():
        try:
            # What has an owner's tag is unfinished.
            if owner(version) or file_list.read(folder) is not None:
                continue
            files = file_list.present_files(folder).files
        except (DamagedError, FileNotFoundError) as error:
            store.say(f"{error}; it gets no list of files")
            continue
        size = sum(file.bytes for file in files)
        text = f"sizes and checksums of its files: {len(files)}, {size:,} bytes"
        yield Step(folder / file_list.NAME, text, partial(_write_list, store, version, folder))


def _write_list(store: Store, version: str, folder: StoragePath) -> bool:
    """Read a version's files, and write the list of them; a damaged version is said."""
    table = folder.parent.name
    if damage := store.find_table_damage(table, version, rows=_rows(store, table, version)):
        store.say(f"{damage}; it gets no list of files")
        return False
    system, base = arrow_path(folder)
    for path in folder.iterdir():
        # An upgrade that was killed has left it; this one holds the store's lock.
        if path.name.startswith(f".{file_list.NAME}."):
            path.unlink(missing_ok=True)
    described = []
    for file in file_list.present_files(folder).files:
        address = f"{base}/{file.name}"
        with file_list.open_parquet(address, system) as parquet:
            rows = parquet.metadata.num_rows
        described.append(file_list.describe(address, file.name, system, rows))
    file_list.write(folder, described)
    return True


def _rows(store: Store, table: str, version: str) -> int | None:
    """How many rows the stage that made a version has written; None if it is not known."""
    for path in (store.root / "stages").glob(f"*/{version}.json"):
        record = store.read_record(path.parent.name, version)
        if record is not None:
            return record.tables.get(table)
    return None
