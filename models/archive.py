"""Archives: a model directory as one zip file that Spark unpacks on the executors.

Inside the archive the files are named by number, and the entry NAMES lists their relative paths:
a JVM that runs in the POSIX locale, as in many containers, can't unpack a Japanese name.
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
    """Write a directory's files as a zip file, uncompressed, since weights hardly compress.

    Raises:
        ModelError: the directory can't be a model.
        OSError: the directory can't be read, or the target can't be written.
    """
    names = tree_names(folder)
    # Files of container images are often dated 1970, and zip has no year before 1980.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for number, name in enumerate(names):
            archive.write(folder / name, str(number))
        archive.writestr(NAMES, json.dumps(names))


def check(path: Path, expected: Content, origin: str) -> None:
    """Check that a zip file contains a directory with the expected content.

    Raises:
        ModelError: it does not, because the directory was changed while it was packed.
    """
    entries = []
    with zipfile.ZipFile(path) as archive:
        for number, name in enumerate(json.loads(archive.read(NAMES))):
            with archive.open(str(number)) as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            entries.append(FileEntry(name, archive.getinfo(str(number)).file_size, sha256))
    if tree_content(entries) != expected:
        raise ModelError(f"{origin}: changed while it was packed; ship it again")


def restore(unpacked: Path, target: Path) -> None:
    """Link the numbered files of an unpacked archive under their own names in a new directory.

    Raises:
        ModelError: the archive was not unpacked completely.
        OSError: the target can't be written.
    """
    try:
        names = json.loads((unpacked / NAMES).read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{unpacked}: not unpacked completely; ship the model again") from error
    for number, name in enumerate(names):
        path = target / safe_name(name, unpacked)
        path.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(unpacked / str(number), path)


def unpack(path: Path, target: Path) -> None:
    """Unpack a zip file into a new directory, each file under its own name."""
    numbered = target.with_name(f"{target.name}.numbered")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(numbered)
        restore(numbered, target)
    finally:
        shutil.rmtree(numbered, ignore_errors=True)
