"""The log of a run's Spark: written to the driver's disk, then saved in the run's folder."""

import tempfile
from contextlib import suppress
from pathlib import Path

from pipeline.storage.paths import StoragePath

_MAX_BYTES = 16 << 20


class SparkLog:
    """The file for the output of the JVM and of the Python workers on the driver's host.

    Attributes:
        local: the file that they write to.
        destination: the file in the run's folder.
    """

    def __init__(self, destination: StoragePath) -> None:
        """Choose the local file: the destination itself, or a temporary one for an object store.

        Args:
            destination: the file in the run's folder.
        """
        self.destination = destination
        if isinstance(destination, Path):
            self.local = destination
        else:
            self.local = Path(tempfile.mkdtemp(prefix="nitamono-log-")) / destination.name

    def save(self) -> None:
        """Copy the local file, or its last 16 MiB, to its destination; errors are ignored."""
        if isinstance(self.destination, Path):
            return
        with suppress(OSError):
            with self.local.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _MAX_BYTES))
                self.destination.write_bytes(file.read())
            self.local.unlink()
            self.local.parent.rmdir()
