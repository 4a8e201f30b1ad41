"""Shipping: a model's file from the driver to every executor."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError
from models.handle import Handle

if TYPE_CHECKING:
    from pyspark import SparkContext

_shipped: set[tuple[str, str]] = set()


def ship(context: "SparkContext", handle: Handle) -> Handle:
    """Add the model's file to the session, so that `local_path` finds it on executors.

    Spark names an added file by its resolved base name, and serves the old content when a file
    changes under the same name. So it is added from a folder of its own under the handle's
    file_name, which holds the content's hash.

    Raises:
        ModelError: the file is gone or can't be staged.
    """
    mark = (str(context.applicationId), handle.file_name)
    if mark not in _shipped:
        context.addFile(str(_stage(handle)))
        _shipped.add(mark)
    return handle


def _stage(handle: Handle) -> Path:
    """A file with the handle's content and name: a hard link where that can be, else a copy."""
    source = Path(handle.path)
    folder = Path(tempfile.mkdtemp(prefix="nitamono-ship-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    staged = folder / handle.file_name
    try:
        try:
            os.link(source, staged)
        except OSError:
            shutil.copyfile(source, staged)
    except OSError as error:
        raise ModelError(f"{source}: can't be shipped: {error}") from error
    return staged


def local_path(handle: Handle) -> Path:
    """Where the model's file is in this process: as shipped on an executor, else the original.

    Raises:
        ModelError: neither is here.
    """
    from pyspark import SparkFiles

    original = Path(handle.path)
    if not SparkFiles._is_running_on_worker and original.is_file():
        return original
    shipped = Path(SparkFiles.get(handle.file_name))
    if shipped.is_file():
        return shipped
    raise ModelError(f"{handle.file_name}: not on this host; call models.shipping.ship first")
