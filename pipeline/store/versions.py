"""Versions of tables: each appears complete or not at all, and only a damaged one is replaced.

On a file system a version is a folder that gets its name once it is complete. Object stores have no
folders to rename: there a version is what the small object _whole/<version>.json names. It is
written once all files of a folder are, and by one writer only. The folder is called
version=<version> as on a file system; if an earlier writer has begun to fill that folder and not
finished, the next writer's folder gets a suffix.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.disk import sync
from pipeline.errors import DamagedError
from pipeline.storage import file_owners
from pipeline.storage.file_owners import Process, owner_tag
from pipeline.storage.files import read_object
from pipeline.storage.object_path import ObjectPath
from pipeline.storage.paths import StoragePath, remove_tree, sync_folder
from pipeline.store import file_list

# Spark and Arrow pass over these names when they read a folder.
_COMPLETE, _CLAIM = "_whole", "_claim"
# The names of damaged versions that were set aside begin so.
DAMAGED = "_damaged-"


class Versions(Protocol):
    """The versions of all tables of a store."""

    def path(self, table: str, version: str) -> StoragePath:
        """The folder of a version, whether it exists or not."""

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is complete."""

    def create(self, table: str, version: str) -> AbstractContextManager[StoragePath]:
        """A folder to fill; it becomes the version if the block ends without an error.

        If the version exists and is whole, it stays and the folder is deleted; if it is damaged,
        the folder takes its place.
        """

    def rename(self, table: str, version: str, final: str) -> None:
        """Rename a complete version; a whole one that has the new name stays."""

    def discard(self, table: str, version: str) -> None:
        """Delete a version."""

    def all_versions(self) -> Iterator[tuple[str, StoragePath]]:
        """Name and folder of every complete version of every table, trial versions too."""

    def unfinished(self) -> Iterator[tuple[StoragePath, Process | None]]:
        """Folders that are no version yet, each with the process that writes it, if known."""

    def unregister(self, folder: StoragePath) -> None:
        """Make a folder no version any more; its files are deleted afterwards."""


@dataclass(frozen=True)
class FolderVersions:
    """Versions on a file system.

    Attributes:
        tables: the folder of the tables.
    """

    tables: Path

    def path(self, table: str, version: str) -> Path:
        """The folder of a version, whether it exists or not."""
        return self.tables / table / f"version={version}"

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is complete."""
        return self.path(table, version).is_dir()

    @contextmanager
    def create(self, table: str, version: str) -> Iterator[Path]:
        """A folder to fill; it becomes the version if the block ends without an error."""
        final = self.path(table, version)
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = final.with_name(f"_writing-{owner_tag()}")
        try:
            yield folder
            _replace_if_damaged(folder, final)
        finally:
            remove_tree(folder)

    def rename(self, table: str, version: str, final: str) -> None:
        """Rename a complete version; a whole one that has the new name stays."""
        _replace_if_damaged(self.path(table, version), self.path(table, final))
        self.discard(table, version)

    def discard(self, table: str, version: str) -> None:
        """Delete a version."""
        remove_tree(self.path(table, version))

    def all_versions(self) -> Iterator[tuple[str, Path]]:
        """Name and folder of every complete version of every table, trial versions too."""
        for path in sorted(self.tables.glob("*/version=*")):
            yield path.name.removeprefix("version="), path

    def unfinished(self) -> Iterator[tuple[Path, Process | None]]:
        """Nothing: unfinished folders are known by their names, see pipeline.store.leftovers."""
        yield from ()

    def unregister(self, folder: StoragePath) -> None:
        """Do nothing: a folder is no version once it is renamed."""


@dataclass(frozen=True)
class ObjectVersions:
    """Versions in an object store.

    Attributes:
        tables: the prefix of the tables.
    """

    tables: ObjectPath

    def path(self, table: str, version: str) -> ObjectPath:
        """The folder of a version, whether it exists or not."""
        folder = _folder_name(self._marker(table, version)) or f"version={version}"
        return self.tables / table / folder

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is complete."""
        return self._marker(table, version).is_file()

    @contextmanager
    def create(self, table: str, version: str) -> Iterator[ObjectPath]:
        """A folder to fill; it becomes the version if the block ends without an error."""
        folder = self._claim(table, f"version={version}")
        try:
            yield folder
            self._complete(table, version, folder)
        except BaseException:
            remove_tree(folder)
            raise

    def rename(self, table: str, version: str, final: str) -> None:
        """Rename a complete version; a whole one that has the new name stays."""
        self._complete(table, final, self.path(table, version))
        self._marker(table, version).unlink(missing_ok=True)

    def discard(self, table: str, version: str) -> None:
        """Delete a version."""
        folder = self.path(table, version)
        self._marker(table, version).unlink(missing_ok=True)
        remove_tree(folder)

    def all_versions(self) -> Iterator[tuple[str, ObjectPath]]:
        """Name and folder of every complete version of every table, trial versions too."""
        for path in self.tables.glob(f"*/{_COMPLETE}/*.json"):
            # Which folder a damaged marker named is not known: the run that needs it says so.
            with suppress(DamagedError):
                if folder := _folder_name(path):
                    yield path.stem, path.parent.parent / folder

    def unfinished(self) -> Iterator[tuple[ObjectPath, Process | None]]:
        """Folders that are no version yet, each with the process that writes it, if known."""
        # The folders are listed before the versions, so that a folder that becomes a version in
        # between is not taken for unfinished.
        folders = list(self.tables.glob("*/version=*"))
        versions = list(self.all_versions())
        # When a trial version is renamed, its folder keeps its name.
        complete = {folder for name, folder in versions if not file_owners.owner(name)}
        trials = {folder: file_owners.owner(name) for name, folder in versions}
        unknown = tuple(self._folders_of_damaged_markers())
        for folder in folders:
            if folder not in complete and not str(folder).startswith(unknown):
                yield folder, trials.get(folder) or _claimant(folder)

    def unregister(self, folder: StoragePath) -> None:
        """Make a folder no version any more; its files are deleted afterwards."""
        assert isinstance(folder, ObjectPath)  # noqa: S101 - this is an object store
        for path in (folder.parent / _COMPLETE).iterdir():
            with suppress(DamagedError):
                if _folder_name(path) == folder.name:
                    path.unlink()

    def _folders_of_damaged_markers(self) -> Iterator[str]:
        """How the addresses of the folders begin that a damaged marker may name."""
        for path in self.tables.glob(f"*/{_COMPLETE}/*.json"):
            try:
                _folder_name(path)
            except DamagedError:
                yield str(path.parent.parent / f"version={path.stem}")

    def _marker(self, table: str, version: str) -> ObjectPath:
        return self.tables / table / _COMPLETE / f"{version}.json"

    def _claim(self, table: str, name: str) -> ObjectPath:
        """Claim a folder that no other writer writes to."""
        claim = json.dumps({"mark": owner_tag()}).encode()
        while True:
            folder = self.tables / table / name
            try:
                (folder / _CLAIM).write_exclusive(claim)
            except FileExistsError:
                name = f"{name.partition('.')[0]}.{uuid.uuid4().hex[:8]}"
            else:
                return folder

    def _complete(self, table: str, version: str, folder: ObjectPath) -> None:
        """Make a full folder the version; if there is a whole one already, delete the folder."""
        marker = json.dumps({"folder": folder.name}).encode()
        try:
            self._marker(table, version).write_exclusive(marker)
        except FileExistsError:
            if self._is_damaged(table, version):
                # The damaged files are removed with what dead runs have left.
                self._marker(table, version).write_bytes(marker)
            else:
                remove_tree(folder)

    def _is_damaged(self, table: str, version: str) -> bool:
        try:
            return bool(file_list.find_damage(self.path(table, version)))
        except DamagedError:
            return True


def _folder_name(marker: ObjectPath) -> str | None:
    """The name of the folder that a marker names; None if there is no marker.

    Raises:
        DamagedError: the marker is damaged.
    """
    try:
        content = read_object(marker, folder=str)
    except DamagedError as error:
        raise DamagedError(error.what, file_list.REMEDY) from error
    return content["folder"] if content else None


def _claimant(folder: ObjectPath) -> Process | None:
    """The process that claimed a folder; None if its claim is gone or damaged."""
    with suppress(DamagedError):
        claim = read_object(folder / _CLAIM, mark=str)
        return file_owners.owner(claim["mark"]) if claim else None
    return None


def open_versions(root: StoragePath) -> Versions:
    """The versions of the tables of a store."""
    tables = root / "tables"
    return FolderVersions(tables) if isinstance(tables, Path) else ObjectVersions(tables)


def _replace_if_damaged(folder: Path, final: Path) -> None:
    """Give a complete folder its name; a folder of that name stays, unless it is damaged."""
    while not rename_unless_exists(folder, final):
        checked = _inode(final)
        if not file_list.find_damage(final):
            return
        # Another process that found the damage too may have put a whole folder there meanwhile.
        if checked and _inode(final) == checked:
            # gc deletes it.
            final.rename(final.with_name(f"{DAMAGED}{final.name}-{owner_tag()}"))


def _inode(folder: Path) -> int | None:
    """What tells a folder from another of the same name; None if there is no such folder."""
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def rename_unless_exists(folder: Path, final: Path) -> bool:
    """Give a complete folder its name; if another process was first, its folder stays.

    All that is in the folder is on the disk before it has its name, and the name is on the disk
    afterwards: a power cut leaves the whole folder or none.

    Returns:
        whether the folder has the name now.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)
        else:
            sync_folder(path)
    sync_folder(folder)
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        return False
    sync_folder(final.parent)
    return True
