"""The handle: what crosses to the executors in place of a model."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Handle:
    """Names a model's file by its content; pickles to a few hundred bytes.

    Attributes:
        kind: which loader reads the file, "fasttext" for instance.
        sha256: of the file, 64 hexadecimal digits.
        size: of the file, in bytes.
        file_name: the name under which the file arrives on an executor; it holds the hash.
        path: where the file is on the driver.
    """

    kind: str
    sha256: str
    size: int
    file_name: str
    path: str

    @classmethod
    def of(cls, kind: str, path: Path) -> "Handle":
        """The handle of a file on this host.

        Raises:
            OSError: the file can't be read.
        """
        digest = file_sha256(path)
        return cls(
            kind=kind,
            sha256=digest,
            size=path.stat().st_size,
            file_name=f"{kind}-{digest[:16]}{path.suffix}",
            path=str(path.resolve()),
        )


def file_sha256(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
