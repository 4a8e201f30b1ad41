"""The handle: what crosses to the executors in place of a model."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from models.content import Content
from models.s3.client import S3Options

Method = Literal["addfile", "archive", "s3", "path"]


@dataclass(frozen=True)
class Handle:
    """Names a model by its content, and says where it is.

    Pickles to under 1 kB, but for an address that is itself longer than some 500 bytes. It holds
    no credentials.

    Attributes:
        kind: which loader reads it, "fasttext" for instance.
        name: what people call it; in messages only.
        content: sha256, size, and whether it is a directory.
        method: how it travels.
        address: where it is. addfile and archive: the name under which Spark gives it to an
            executor; s3: its s3:// address; path: its path on the file system that hosts share.
        s3: how to reach the object store, if the method is s3.
    """

    kind: str
    name: str
    content: Content
    method: Method
    address: str
    s3: S3Options | None = None

    @property
    def sha256(self) -> str:
        """The content's sha256, 64 hexadecimal digits."""
        return self.content.sha256

    @property
    def size(self) -> int:
        """The content's size, in bytes."""
        return self.content.size

    @property
    def key(self) -> str:
        """What `resident.get` keeps it under: a retrained model, or another kind, is another."""
        return f"{self.kind}:{self.sha256}"

    @property
    def entry(self) -> str:
        """Its name in the host cache."""
        return entry_name(self.content, self.address)


def entry_name(content: Content, origin: str) -> str:
    """The name of this content in a host cache, and the one it travels under.

    Args:
        content: its hash makes the name.
        origin: a path or address; its suffix is kept, because loaders go by it.
    """
    if content.directory:
        return f"{content.sha256}.dir"
    suffix = PurePosixPath(origin).suffix
    return content.sha256 + (suffix if re.fullmatch(r"\.[A-Za-z0-9_]{1,20}", suffix) else "")
