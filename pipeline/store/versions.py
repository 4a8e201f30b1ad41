"""Versions of tables: each appears whole or not at all, and an earlier one is not replaced.

On a file system a version is a folder that takes its name when it is full. Object stores have no
folders to rename: there a version is what the small object _whole/<version>.json says, which is
written when all files of a folder are, by one writer only. The folder is called version=<version>
as on a file system; where a writer before this one has begun to fill that and not finished, a
suffix tells the two apart.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.storage import processes
from pipeline.storage.files import read_json
from pipeline.storage.paths import StoragePath, remove_tree
from pipeline.storage.processes import Process, owner_tag
from pipeline.storage.s3_path import S3Path

# Names that Spark and Arrow pass over when they read a folder.
_WHOLE, _CLAIM = "_whole", "_claim"


class Versions(Protocol):
    """What a store needs of the versions of its tables."""

    def path(self, table: str, version: str) -> StoragePath:
        """The folder of a version, there or not."""

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is whole."""

    def create(self, table: str, version: str) -> AbstractContextManager[StoragePath]:
        """A folder to fill: the version is there when the block ends without an error."""

    def rename(self, table: str, version: str, final: str) -> None:
        """Give a whole version another name; where that is there already it stays."""

    def discard(self, table: str, version: str) -> None:
        """Remove a version."""

    def all_versions(self) -> Iterator[tuple[str, StoragePath]]:
        """Name and folder of every whole version of every table, trials too."""

    def unfinished(self) -> Iterator[tuple[StoragePath, Process | None]]:
        """Folders that were begun and are no version, with the process that began each."""

    def unregister(self, folder: StoragePath) -> None:
        """Make a folder no version, before what it holds goes."""


@dataclass(frozen=True)
class FolderVersions:
    """Versions on a file system.

    Attributes:
        tables: the folder of the tables.
    """

    tables: Path

    def path(self, table: str, version: str) -> Path:
        """The folder of a version, there or not."""
        return self.tables / table / f"version={version}"

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is whole."""
        return self.path(table, version).is_dir()

    @contextmanager
    def create(self, table: str, version: str) -> Iterator[Path]:
        """A folder to fill: the version is there when the block ends without an error."""
        final = self.path(table, version)
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = final.with_name(f"_writing-{owner_tag()}")
        try:
            yield folder
            rename_unless_there(folder, final)
        finally:
            remove_tree(folder)

    def rename(self, table: str, version: str, final: str) -> None:
        """Give a whole version another name; where that is there already it stays."""
        rename_unless_there(self.path(table, version), self.path(table, final))
        self.discard(table, version)

    def discard(self, table: str, version: str) -> None:
        """Remove a version."""
        remove_tree(self.path(table, version))

    def all_versions(self) -> Iterator[tuple[str, Path]]:
        """Name and folder of every whole version of every table, trials too."""
        for path in sorted(self.tables.glob("*/version=*")):
            yield path.name.removeprefix("version="), path

    def unfinished(self) -> Iterator[tuple[Path, Process | None]]:
        """None: on a file system names tell what is unfinished, see pipeline.store.leftovers."""
        yield from ()

    def unregister(self, folder: StoragePath) -> None:
        """Nothing: a folder that has lost its name is no version."""


@dataclass(frozen=True)
class ObjectVersions:
    """Versions in an object store.

    Attributes:
        tables: the prefix of the tables.
    """

    tables: S3Path

    def path(self, table: str, version: str) -> S3Path:
        """The folder of a version, there or not."""
        said = read_json(self._whole(table, version))
        folder = f"version={version}" if said is None else str(said["folder"])
        return self.tables / table / folder

    def exists(self, table: str, version: str) -> bool:
        """Whether a version is whole."""
        return self._whole(table, version).is_file()

    @contextmanager
    def create(self, table: str, version: str) -> Iterator[S3Path]:
        """A folder to fill: the version is there when the block ends without an error."""
        folder = self._claimed(table, f"version={version}")
        try:
            yield folder
            self._say(table, version, folder)
        except BaseException:
            remove_tree(folder)
            raise

    def rename(self, table: str, version: str, final: str) -> None:
        """Give a whole version another name; where that is there already it stays."""
        self._say(table, final, self.path(table, version))
        self._whole(table, version).unlink(missing_ok=True)

    def discard(self, table: str, version: str) -> None:
        """Remove a version."""
        folder = self.path(table, version)
        self._whole(table, version).unlink(missing_ok=True)
        remove_tree(folder)

    def all_versions(self) -> Iterator[tuple[str, S3Path]]:
        """Name and folder of every whole version of every table, trials too."""
        for said in self.tables.glob(f"*/{_WHOLE}/*.json"):
            if about := read_json(said):
                yield said.stem, said.parent.parent / about["folder"]

    def unfinished(self) -> Iterator[tuple[S3Path, Process | None]]:
        """Folders that were begun and are no version, with the process that began each."""
        # In this order: what becomes a version meanwhile is not among the first.
        begun = list(self.tables.glob("*/version=*"))
        named = list(self.all_versions())
        # A folder keeps its name when a trial becomes a version.
        kept = {folder for name, folder in named if not processes.owner(name)}
        trials = {folder: processes.owner(name) for name, folder in named}
        for folder in begun:
            if folder in kept:
                continue
            said = read_json(folder / _CLAIM) or {}
            yield folder, trials.get(folder) or processes.owner(said.get("mark", ""))

    def unregister(self, folder: StoragePath) -> None:
        """Make a folder no version, before what it holds goes."""
        assert isinstance(folder, S3Path)  # noqa: S101 - this is an object store
        for said in (folder.parent / _WHOLE).iterdir():
            if (read_json(said) or {}).get("folder") == folder.name:
                said.unlink()

    def _whole(self, table: str, version: str) -> S3Path:
        return self.tables / table / _WHOLE / f"{version}.json"

    def _claimed(self, table: str, name: str) -> S3Path:
        """A folder that is this writer's alone."""
        mine = json.dumps({"mark": owner_tag()}).encode()
        while True:
            folder = self.tables / table / name
            try:
                (folder / _CLAIM).write_exclusive(mine)
            except FileExistsError:
                name = f"{name.partition('.')[0]}.{uuid.uuid4().hex[:8]}"
            else:
                return folder

    def _say(self, table: str, version: str, folder: S3Path) -> None:
        """Make a full folder the version; where another writer was first, its own stays."""
        said = json.dumps({"folder": folder.name}).encode()
        try:
            self._whole(table, version).write_exclusive(said)
        except FileExistsError:
            remove_tree(folder)


def versions(root: StoragePath) -> Versions:
    """The versions of the tables of a store."""
    tables = root / "tables"
    return FolderVersions(tables) if isinstance(tables, Path) else ObjectVersions(tables)


def rename_unless_there(folder: Path, final: Path) -> None:
    """Give a finished folder its name; where another process was first, what it made stays."""
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise
