"""Tracebacks of unexpected errors: they are kept in a file, because the user sees one line."""

import traceback
from contextlib import suppress

from pipeline.redaction import mask
from pipeline.storage.paths import StoragePath

FILE_NAME = "error.txt"


def write_traceback(folder: StoragePath) -> StoragePath:
    """Write the traceback of the error that is being handled, without secrets.

    Args:
        folder: the folder for the file; it is made if it is missing.

    Returns:
        the file; it is missing if it can't be written.
    """
    file = folder / FILE_NAME
    # If the disk is full, the user must still be told the cause.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(mask(traceback.format_exc()), encoding="utf-8")
    return file
