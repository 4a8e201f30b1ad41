"""What is asked of an object store: one small interface for all of them, and its errors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.stores.address import AZURE_SCHEMES, GCS_SCHEME, Address
from models.stores.options import S3Options, StoreOptions

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# Attempts at one request, with growing pauses.
REQUEST_ATTEMPTS = 6
CONNECT_SECONDS = 10
READ_SECONDS = 60
# Larger objects are sent in parts of this size, each with attempts of its own.
PART_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20


class ObjectStoreError(OSError):
    """An object store refuses a request or fails; the message says where, why and what to do."""


class MissingObjectError(ObjectStoreError, FileNotFoundError):
    """There is no such object."""


class ExistingObjectError(ObjectStoreError, FileExistsError):
    """There is an object of that key, or another process is writing one at this moment."""


@dataclass(frozen=True)
class Stat:
    """An object's state.

    Attributes:
        st_size: bytes.
        st_mtime: time of its last write by the store's clock, in seconds since the epoch.
        etag: a tag that changes with the content; empty for a folder.
        metadata: what was stored with it; empty in a listing.
    """

    st_size: int
    st_mtime: float
    etag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class Client(Protocol):
    """An object store. Nothing is cached, and each method may raise ObjectStoreError."""

    def get(self, address: Address) -> bytes:
        """An object's content.

        Raises:
            MissingObjectError: there is no such object.
        """

    def blocks(self, address: Address, stat: Stat) -> Iterator[bytes]:
        """An object's content, block by block; one that breaks off is continued.

        Args:
            address: of the object.
            stat: its state; another one is an error.
        """

    def head(self, address: Address) -> Stat:
        """An object's state.

        Raises:
            MissingObjectError: there is no such object.
        """

    def put(self, address: Address, content: bytes) -> None:
        """Write an object: a reader sees the old one or the new one, never a part."""

    def create(self, address: Address, content: bytes) -> None:
        """Write a new object; of several processes that try at once, one succeeds.

        Raises:
            ExistingObjectError: there is one.
        """

    def upload(self, address: Address, source: Path, metadata: Mapping[str, str]) -> None:
        """Write an object from a local file of any size: it appears whole or not at all."""

    def download(self, address: Address, target: Path) -> None:
        """Write an object's content to a local file."""

    def touch(self, address: Address) -> None:
        """Set a small object's time to now, by the store's clock.

        Raises:
            MissingObjectError: there is no such object.
        """

    def entries(self, folder: Address, *, recursive: bool) -> Iterator[tuple[str, Stat | None]]:
        """The keys below a folder, each with its object's state; of a folder below it None.

        Args:
            folder: a prefix that is empty or ends in '/'.
            recursive: objects at any depth, and no folders.
        """

    def has_any(self, folder: Address) -> bool:
        """Whether there is an object below a folder."""

    def delete(self, address: Address) -> None:
        """Delete an object, if there is one."""

    def delete_below(self, folder: Address) -> list[str]:
        """Delete all objects below a folder.

        Returns:
            for each object that was not deleted, its key and what the store says of it.
        """

    def arrow(self, address: Address) -> "tuple[FileSystem, str]":
        """An address as Arrow reads and writes it: its file system, and the path in that.

        The file system is for this process only: it holds credentials.
        """


def connect(address: Address, options: StoreOptions) -> Client:
    """This process's client for an address; it keeps its connections open."""
    if address.scheme == GCS_SCHEME:
        return _gcs(address.bucket, options.gcs_endpoint)
    if address.scheme in AZURE_SCHEMES:
        return _azure(address.bucket, options.azure_endpoint)
    return _s3(options.s3)


@cache
def _s3(options: S3Options) -> Client:
    from models.stores.s3 import S3Client

    return S3Client(options)


@cache
def _gcs(bucket: str, endpoint: str | None) -> Client:
    from models.stores.gcs import GcsClient

    return GcsClient(bucket, endpoint)


@cache
def _azure(bucket: str, endpoint: str | None) -> Client:
    from models.stores.azure import AzureClient

    return AzureClient(bucket, endpoint)
