"""Model folders of a store: made on the driver's disk, saved under the name of their content."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from models import Handle, ModelError, local_path
from models.content import read_content
from models.disk import link_or_copy
from models.stores import objects
from pipeline.errors import DamagedError
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath
from pipeline.store.stage_record import StageRecord
from pipeline.store.versions import rename_unless_exists


@dataclass(frozen=True)
class ModelFolders:
    """The models of a store.

    Attributes:
        root: the store's folder of models.
    """

    root: StoragePath

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A folder on the driver's disk to make a model in; it is deleted after the block."""
        if isinstance(self.root, Path):
            # On the store's own disk the model can be saved by renaming the folder.
            folder = self.root / f"_writing-{owner_tag()}"
            folder.mkdir(parents=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="nitamono-model-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def save(self, folder: Path, sha256: str, file: str) -> None:
        """Move or send a finished model folder to its place in the store.

        A complete folder that is there already stays; a damaged one is replaced.

        Args:
            folder: the new folder.
            sha256: of the file or directory in the folder that is shipped to executors.
            file: the name of that file or directory.
        """
        final = self.path(sha256)
        if not isinstance(final, Path):
            objects.push(folder, str(final), final.options)
            return
        if final.is_dir() and not _has_content(final / file, sha256):
            shutil.rmtree(final)
        rename_unless_exists(folder, final)

    def path(self, sha256: str) -> StoragePath:
        """The folder of a model."""
        return self.root / sha256[:16]

    def file(self, record: StageRecord) -> StoragePath:
        """The file or directory of a training's model that is shipped to executors."""
        return self.path(record.outputs["sha256"]) / str(record.outputs["file"])

    def find_damage(self, record: StageRecord, *, read: bool = False) -> str:
        """What is wrong with the model of a training; empty if nothing is.

        Args:
            record: of the training.
            read: whether a model in an object store is read; otherwise the store is only asked for
                its checksum, since whoever downloads the model verifies it.
        """
        file = self.file(record)
        try:
            if isinstance(file, Path):
                content = read_content(file)
            elif read:
                with tempfile.TemporaryDirectory(prefix="nitamono-model-") as folder:
                    copy = Path(folder) / "copy"
                    stored = objects.content_of(str(file), file.options)
                    objects.fetch(str(file), copy, stored, file.options)
                    content = read_content(copy)
            else:
                content = objects.content_of(str(file), file.options)
        except ModelError as error:
            return str(error)
        if content.sha256 != record.outputs["sha256"]:
            return f"{file}: its content is not what was written (another sha256)"
        return ""

    def current(self, settings: str) -> str | None:
        """The fingerprint of the training whose model new runs use; None if there is none.

        Args:
            settings: the fingerprint of what a model is trained with.

        Raises:
            DamagedError: the file that names it is damaged.
        """
        try:
            content = read_object(self._current_path(settings), fingerprint=str)
        except DamagedError as error:
            raise DamagedError(error.what, "the next run that publishes writes it again") from error
        return None if content is None else str(content["fingerprint"])

    def set_current(self, settings: str, fingerprint: str) -> None:
        """Let new runs with these settings use the model of this training."""
        write_json(self._current_path(settings), {"fingerprint": fingerprint}, indent=None)

    def _current_path(self, settings: str) -> StoragePath:
        return self.root / "current" / f"{settings}.json"


def copy_files(source: StoragePath, folder: Path) -> None:
    """Copy a saved model's files into a folder on this host.

    Raises:
        ModelError: the files can't be read.
    """
    if isinstance(source, Path):
        shutil.copytree(source, folder, copy_function=_link, dirs_exist_ok=True)
    else:
        address = f"{source}/"
        content = objects.content_of(address, source.options)
        objects.fetch(address, folder, content, source.options)


def local_file(file: StoragePath, kind: str) -> Path:
    """A saved model's file or directory as a path that this process can open.

    Args:
        file: the file or directory in the store.
        kind: the kind of model, as handles name it.

    Raises:
        ModelError: it can't be read.
    """
    if isinstance(file, Path):
        return file
    content = objects.content_of(str(file), file.options)
    options = replace(file.options, staging=None)
    return local_path(Handle(kind, file.name, content, "s3", str(file), options))


def _has_content(path: Path, sha256: str) -> bool:
    try:
        return read_content(path).sha256 == sha256
    except ModelError:
        return False


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))
