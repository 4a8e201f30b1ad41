"""The log of a run's Spark: written on the driver's disk, kept in the run's folder."""

import tempfile
from contextlib import suppress
from pathlib import Path

from pipeline.storage.paths import StoragePath

_MOST_BYTES = 16 << 20


class SparkLog:
    """Where the JVM and the Python workers on the driver's host write what they print.

    Attributes:
        local: the file.
        kept: where it is after the run.
    """

    def __init__(self, kept: StoragePath) -> None:
        """Choose the file.

        Args:
            kept: where it belongs.
        """
        self.kept = kept
        if isinstance(kept, Path):
            self.local = kept
        else:
            self.local = Path(tempfile.mkdtemp(prefix="nitamono-log-")) / kept.name

    def keep(self) -> None:
        """Bring it to where it belongs; of a long one the end. What goes wrong is passed over."""
        if isinstance(self.kept, Path):
            return
        with suppress(OSError):
            with self.local.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _MOST_BYTES))
                self.kept.write_bytes(file.read())
            self.local.unlink()
            self.local.parent.rmdir()
