"""The handle: what is sent to the executors in place of a model."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from models.content import Content
from models.stores.options import StoreOptions

Method = Literal["addfile", "archive", "s3", "path"]


@dataclass(frozen=True)
class Handle:
    """Identifies a model by its content, and says where to get it.

    A pickled handle takes less than 1 kB unless its address alone is longer than about 500 bytes.
    It holds no credentials.

    Attributes:
        kind: which loader reads the model, "fasttext" for instance.
        name: the model's name in messages.
        content: SHA-256, size, and whether it is a directory.
        method: how the model gets to the executors.
        address: where the model is. For addfile and archive it is the name that Spark gives the
            file on an executor, for s3 its address in the object store, for path its path on the
            file system that all hosts share.
        stores: how to reach the object store, if the method is s3.
    """

    kind: str
    name: str
    content: Content
    method: Method
    address: str
    stores: StoreOptions | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, 64 hexadecimal digits."""
        return self.content.sha256

    @property
    def size(self) -> int:
        """Size of the content, in bytes."""
        return self.content.size

    @property
    def key(self) -> str:
        """The key for `resident.get`, which differs for a retrained model and for another kind."""
        return f"{self.kind}:{self.sha256}"

    @property
    def entry(self) -> str:
        """Name of the model in the host cache."""
        return entry_name(self.content, self.address)


def entry_name(content: Content, origin: str) -> str:
    """Return the name of a content in the host cache and as an added file.

    Args:
        content: the name is its hash.
        origin: a path or address; the name keeps its suffix, because loaders read the suffix.
    """
    if content.directory:
        return f"{content.sha256}.dir"
    suffix = PurePosixPath(origin).suffix
    return content.sha256 + (suffix if re.fullmatch(r"\.[A-Za-z0-9_]{1,20}", suffix) else "")
