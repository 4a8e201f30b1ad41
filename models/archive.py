"""Archives: a directory as one zip file that Spark unpacks on executors.

Inside, files go by number, and NAMES holds their relative paths: a JVM that runs in the POSIX
locale, as in many containers, can't unpack a Japanese name.
"""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

from models.content import Content, FileEntry, safe_name, tree_content, tree_names
from models.disk import link_or_copy
from models.errors import ModelError

NAMES = "names.json"


def pack(folder: Path, target: Path) -> None:
    """Write a directory's files as a zip file; not compressed, weights hardly are compressible.

    Raises:
        ModelError: the directory can't be a model.
        OSError: it can't be read, or the target can't be written.
    """
    names = tree_names(folder)
    # Files of container images are often dated 1970; zip knows no year before 1980.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for number, name in enumerate(names):
            archive.write(folder / name, str(number))
        archive.writestr(NAMES, json.dumps(names))


def check(path: Path, wanted: Content, origin: str) -> None:
    """See that a zip file holds a directory of this content.

    Raises:
        ModelError: it doesn't: the directory was written to while it was packed.
    """
    parts = []
    with zipfile.ZipFile(path) as archive:
        for number, name in enumerate(json.loads(archive.read(NAMES))):
            with archive.open(str(number)) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            parts.append(FileEntry(name, archive.getinfo(str(number)).file_size, sha256))
    if tree_content(parts) != wanted:
        raise ModelError(f"{origin}: changed while it was packed; ship it again")


def restore(unpacked: Path, target: Path) -> None:
    """Give the files of an unpacked archive their names again, under a new directory.

    Raises:
        ModelError: it is not unpacked whole.
        OSError: the target can't be written.
    """
    try:
        names = json.loads((unpacked / NAMES).read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{unpacked}: not unpacked whole; ship the model again") from error
    for number, name in enumerate(names):
        path = target / safe_name(name, unpacked)
        path.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(unpacked / str(number), path)


def unpack(path: Path, target: Path) -> None:
    """Unpack a zip file, names and all, under a new directory."""
    numbered = target.with_name(f"{target.name}.numbered")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(numbered)
        restore(numbered, target)
    finally:
        shutil.rmtree(numbered, ignore_errors=True)
