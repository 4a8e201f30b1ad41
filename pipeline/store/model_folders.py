"""Folders of models in a store: made on the driver's disk, kept under their content's name."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from models import Handle, ModelError, local_path
from models.content import read_content
from models.disk import link_or_copy
from models.s3 import objects
from pipeline.storage.paths import StoragePath
from pipeline.storage.processes import owner_tag
from pipeline.store.versions import rename_unless_there


@contextmanager
def new_folder(models: StoragePath) -> Iterator[Path]:
    """A folder on the driver's disk to make a model in; it is gone afterwards: see `keep`.

    Args:
        models: the store's folder of models.
    """
    if isinstance(models, Path):
        # Beside the others, where there must be room for it, and where it can be renamed.
        folder = models / f"_writing-{owner_tag()}"
        folder.mkdir(parents=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="nitamono-model-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save(folder: Path, final: StoragePath, sha256: str, file: str) -> None:
    """Move or send a finished model folder to its place.

    Where that is there already and whole it stays; where it is damaged it is replaced.

    Args:
        folder: the new one.
        final: where it belongs.
        sha256: of the file or directory in it that is shipped.
        file: that one's name.
    """
    if not isinstance(final, Path):
        objects.push(folder, str(final), final.options)
        return
    if final.is_dir() and not _holds(final / file, sha256):
        shutil.rmtree(final)
    rename_unless_there(folder, final)


def copy_files(source: StoragePath, folder: Path) -> None:
    """Bring a kept model's files into a folder on this host.

    Raises:
        ModelError: they can't be read.
    """
    if isinstance(source, Path):
        shutil.copytree(source, folder, copy_function=_link, dirs_exist_ok=True)
    else:
        address = f"{source}/"
        content = objects.content_of(address, source.options)
        objects.fetch(address, folder, content, source.options)


def local_file(file: StoragePath, kind: str) -> Path:
    """A kept model's file or directory as this process can open it.

    Raises:
        ModelError: it can't be read.
    """
    if isinstance(file, Path):
        return file
    content = objects.content_of(str(file), file.options)
    options = replace(file.options, staging=None)
    return local_path(Handle(kind, file.name, content, "s3", str(file), options))


def _holds(path: Path, sha256: str) -> bool:
    try:
        return read_content(path).sha256 == sha256
    except ModelError:
        return False


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))
