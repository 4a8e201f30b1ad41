"""Paths in an object store: the part of pathlib.Path that the store's files need.

A folder exists as long as an object lies below it. Nothing is cached: every listing and every read
is a new request, which the object stores answer consistently.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from models.stores.address import S3_SCHEMES, Address
from models.stores.client import Client, ObjectStoreError, Stat, connect
from models.stores.options import StoreOptions

# Objects that a message names.
_MAX_NAMED = 3


@dataclass(frozen=True)
class ObjectPath:
    """The path of an object, or of a folder: a prefix that objects lie below.

    Attributes:
        address: its key has no slash at either end, and is empty for the whole bucket.
        options: how to reach the store.
        listed: state of the object, if the path comes from a listing.
    """

    address: Address
    options: StoreOptions = field(default=StoreOptions(), compare=False, repr=False)
    listed: Stat | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, options: StoreOptions) -> "ObjectPath":
        """The path of an address.

        Raises:
            ModelError: the text is no such address.
        """
        address = Address.parse(text)
        # Spark knows S3 by the second name only.
        scheme = "s3a" if address.scheme in S3_SCHEMES else address.scheme
        return cls(replace(address, scheme=scheme, key=address.key.strip("/")), options)

    def __str__(self) -> str:
        return str(self.address)

    def __truediv__(self, name: str) -> "ObjectPath":
        return self._with_key(f"{self.key}/{name}" if self.key else name)

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.address.bucket

    @property
    def key(self) -> str:
        """Key without a slash at either end."""
        return self.address.key

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        stem, dot, suffix = self.name.rpartition(".")
        return stem if stem and dot and suffix else self.name

    @property
    def suffixes(self) -> list[str]:
        """The name's suffixes, each with its dot."""
        return [f".{part}" for part in self.name.lstrip(".").split(".")[1:]]

    @property
    def parent(self) -> "ObjectPath":
        """The folder that it lies in."""
        return self._with_key(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "ObjectPath":
        """The path of this name in the same folder."""
        return self.parent / name

    def relative_to(self, other: "ObjectPath") -> PurePosixPath:
        """The part of the key below another path's."""
        return PurePosixPath(self.key.removeprefix(other.key).lstrip("/"))

    def exists(self) -> bool:
        """Whether there is an object of this key, or one below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object of this key."""
        if self.listed is not None:
            return True
        if not self.key:
            return False
        try:
            return bool(self.stat().etag)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Whether there is an object below this key."""
        return self._client().has_any(self.address.folder)

    def stat(self) -> Stat:
        """The object's state; zeros for a folder.

        Raises:
            FileNotFoundError: there is neither object nor folder.
        """
        if self.listed is not None:
            return self.listed
        try:
            return self._client().head(self.address)
        except FileNotFoundError:
            if self.is_dir():
                return Stat(0, 0.0)
            raise

    def iterdir(self) -> Iterator["ObjectPath"]:
        """The folders and objects directly below."""
        return self._below(recursive=False)

    def rglob(self, pattern: str) -> Iterator["ObjectPath"]:
        """The objects at any depth whose names match."""
        objects = self._below(recursive=True)
        return (path for path in objects if fnmatch.fnmatchcase(path.name, pattern))

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """The folders and objects that match the pattern, level by level."""
        first, _, rest = pattern.partition("/")
        if not any(char in first for char in "*?["):
            matches = [self / first]
            if not rest:
                matches = [path for path in matches if path.exists()]
        else:
            matches = [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, first)]
        if not rest:
            yield from matches
            return
        for path in matches:
            yield from path.glob(rest)

    def read_bytes(self) -> bytes:
        """The object's content.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return self._client().get(self.address)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object's content as text.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write the object: a reader sees the old one or the new one, never a part."""
        self._client().put(self.address, content)

    def upload(self, source: Path) -> None:
        """Write the object from a local file of any size: it appears whole or not at all."""
        self._client().upload(self.address, source, {})

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write the object."""
        self.write_bytes(text.encode(encoding))

    def write_exclusive(self, content: bytes) -> None:
        """Write a new object; of several processes that try at once, one succeeds.

        Args:
            content: must differ between processes if it matters which one succeeds.

        Raises:
            FileExistsError: there is an object with another content.
        """
        try:
            self._client().create(self.address, content)
        except FileExistsError:
            # If the answer to the first request was lost, the second one met our own object.
            if self.read_bytes() != content:
                raise

    def touch(self) -> None:
        """Set the object's time to now, by the store's clock.

        Raises:
            FileNotFoundError: there is no such object.
        """
        self._client().touch(self.address)

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder exists as soon as an object lies below it."""

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object; not every store tells whether there was one."""
        self._client().delete(self.address)

    def remove_tree(self) -> None:
        """Delete all objects below.

        Raises:
            ObjectStoreError: some can't be deleted, each for a reason of its own; all others are.
        """
        problems = self._client().delete_below(self.address.folder)
        if problems:
            more = f"; and {len(problems) - _MAX_NAMED} more" if len(problems) > _MAX_NAMED else ""
            raise ObjectStoreError(f"{self}: not deleted: {'; '.join(problems[:_MAX_NAMED])}{more}")

    def _with_key(self, key: str) -> "ObjectPath":
        return ObjectPath(self.address.with_key(key), self.options)

    def _below(self, *, recursive: bool) -> Iterator["ObjectPath"]:
        for key, listed in self._client().entries(self.address.folder, recursive=recursive):
            yield replace(self._with_key(key), listed=listed)

    def _client(self) -> Client:
        return connect(self.address, self.options)
