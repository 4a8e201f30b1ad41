"""What the clients of Google Cloud Storage and Azure share: both are obstore's.

S3 stays with boto3: obstore knows no AWS profiles and no copy of an object onto itself, which S3
needs where a lock shows that its holder lives.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ModelError
from models.stores.address import Address
from models.stores.client import (
    BLOCK_BYTES,
    CONNECT_SECONDS,
    PART_BYTES,
    READ_SECONDS,
    REQUEST_ATTEMPTS,
    ExistingObjectError,
    MissingObjectError,
    ObjectStoreError,
    Stat,
)
from models.stores.obstore_errors import UnreachableError, translated_errors

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta, PutMode
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig
    from pyarrow.fs import FileSystem

_PAGE = 1000
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1
# Each is in memory.
_PARTS_AT_ONCE = 4
# Hadoop's mark of an empty object that stands for a folder.
_FOLDER_MARK = "hdi_isfolder"


class ObstoreClient(ABC):
    """The client of one bucket or container."""

    # Where this cloud's clients look for credentials, for messages.
    chain: str

    @abstractmethod
    def make(self) -> "GCSStore | AzureStore":
        """Make obstore's client."""

    @abstractmethod
    def arrow(self, address: Address) -> "tuple[FileSystem, str]":
        """An address as Arrow reads and writes it: its file system, and the path in that."""

    @cached_property
    def store(self) -> "GCSStore | AzureStore":
        """Obstore's client; it connects when it is first used."""
        return self.make()

    def get(self, address: Address) -> bytes:
        import obstore

        with self._errors(address):
            return bytes(obstore.get(self.store, address.key).bytes())

    def blocks(self, address: Address, stat: Stat) -> Iterator[bytes]:
        import obstore

        with self._errors(address):
            # Obstore itself goes on where a body breaks off.
            result = obstore.get(self.store, address.key, options={"if_match": f'"{stat.etag}"'})
            yield from map(bytes, result.stream(BLOCK_BYTES))

    def head(self, address: Address) -> Stat:
        with self._errors(address):
            result = self._result(address)
        if _is_folder(result.attributes):
            raise MissingObjectError(f"{address}: no such object; look at the address")
        return _stat(result.meta, {str(k): str(v) for k, v in result.attributes.items()})

    def put(self, address: Address, content: bytes) -> None:
        self._put(address, content, "overwrite")

    def create(self, address: Address, content: bytes) -> None:
        self._put(address, content, "create")

    def upload(self, address: Address, source: Path, metadata: Mapping[str, str]) -> None:
        import obstore

        with self._errors(address, writes=True):
            obstore.put(
                self.store,
                address.key,
                source,
                attributes=dict(metadata),
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def download(self, address: Address, target: Path) -> None:
        import obstore

        with self._errors(address):
            blocks = iter(obstore.get(self.store, address.key).stream(PART_BYTES))
        with target.open("wb") as file:
            while True:
                with self._errors(address):
                    block = next(blocks, None)
                if block is None:
                    return
                file.write(block)

    def touch(self, address: Address) -> None:
        """Write the same content anew, unless another process has written meanwhile."""
        import obstore

        with self._errors(address):
            result = obstore.get(self.store, address.key)
            state = {name: result.meta[name] for name in ("e_tag", "version") if result.meta[name]}
            content = bytes(result.bytes())
        with suppress(ExistingObjectError):
            self._put(address, content, state)  # type: ignore[arg-type]

    def entries(self, folder: Address, *, recursive: bool) -> Iterator[tuple[str, Stat | None]]:
        import obstore

        if recursive:
            pages = self._pages(folder)
        else:
            with self._errors(folder):
                listed = obstore.list_with_delimiter(self.store, folder.key or None)
            yield from ((name.rstrip("/"), None) for name in listed["common_prefixes"])
            pages = iter([listed["objects"]])
        for page in pages:
            for meta in page:
                if meta["size"] or not self._stands_for_folder(folder.with_key(meta["path"])):
                    yield meta["path"], _stat(meta)

    def has_any(self, folder: Address) -> bool:
        return any(True for _ in self.entries(folder, recursive=True))

    def delete(self, address: Address) -> None:
        with suppress(MissingObjectError):
            self._delete(address, [address.key])

    def delete_below(self, folder: Address) -> list[str]:
        """Delete page by page; marks that end in a slash, which obstore can't say, by Arrow."""
        problems = []
        for page in list(self._pages(folder)):
            keys = [meta["path"] for meta in page]
            try:
                self._delete(folder, keys)
            except ObjectStoreError:
                problems += self._delete_each(folder, keys)
        return problems or self._delete_marks(folder)

    def _delete_marks(self, folder: Address) -> list[str]:
        """Delete what still stands for an empty folder, and for those below it."""
        import obstore

        mark = folder.with_key(folder.key.rstrip("/"))
        has_more = any(self._pages(folder))
        with suppress(MissingObjectError), self._errors(mark):
            if mark.key and _is_folder(self._result(mark).attributes):
                try:
                    obstore.delete(self.store, mark.key)
                except obstore.exceptions.BaseError:
                    # A directory of a hierarchical namespace that is not empty.
                    has_more = True
        if not has_more:
            return []
        try:
            system, path = self.arrow(folder)
            system.delete_dir(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            return [f"{folder.key} ({error})"]
        return []

    def _delete_each(self, folder: Address, keys: list[str]) -> list[str]:
        problems = []
        for key in keys:
            try:
                self.delete(folder.with_key(key))
            except ObjectStoreError as error:
                problems.append(f"{key} ({error})")
        return problems

    def _result(self, address: Address) -> "GetResult":
        """What the store says of an object, without its content."""
        import obstore

        return obstore.get(self.store, address.key, options={"head": True})

    def _pages(self, folder: Address) -> "Iterator[Any]":
        import obstore

        with self._errors(folder):
            yield from obstore.list(self.store, folder.key or None, chunk_size=_PAGE)

    def _stands_for_folder(self, address: Address) -> bool:
        """Whether an empty object of a listing is a folder's mark: Hadoop and consoles make them.

        Obstore lists the key KEY/ as KEY, which is not found, and Hadoop marks its own on Azure.
        """
        try:
            self.head(address)
        except MissingObjectError:
            return True
        return False

    def _put(self, address: Address, content: bytes, mode: "PutMode") -> None:
        import obstore

        def put() -> None:
            with self._errors(address, writes=True):
                obstore.put(self.store, address.key, content, mode=mode, use_multipart=False)

        _repeat(put)

    def _delete(self, address: Address, keys: list[str]) -> None:
        import obstore

        def delete() -> None:
            with self._errors(address):
                obstore.delete(self.store, keys)

        _repeat(delete)

    def _errors(self, address: Address, *, writes: bool = False) -> AbstractContextManager[None]:
        return translated_errors(address, self.chain, writes=writes)


def _repeat(send: Callable[[], None]) -> None:
    """Send a request again if its connection breaks: obstore does that for some requests only.

    A new object may then meet itself, as it may in any store whose answer is lost.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            send()
        except UnreachableError:
            time.sleep(_PAUSE_SECONDS * 2**attempt)
        else:
            return
    send()


def _is_folder(attributes: Mapping[Any, Any]) -> bool:
    return attributes.get(_FOLDER_MARK) == "true"


def _stat(meta: "ObjectMeta", metadata: Mapping[str, str] | None = None) -> Stat:
    # Azure quotes a tag in some answers only.
    etag = (meta["e_tag"] or "").strip('"')
    return Stat(meta["size"], meta["last_modified"].timestamp(), etag, metadata or {})


def client_settings(endpoint: str) -> "dict[str, ClientConfig | RetryConfig]":
    """The arguments of obstore's stores for time-outs and attempts.

    Raises:
        ModelError: obstore is not installed.
    """
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "gs:// and abfss:// need the package obstore: pip install 'nitamono[stores]'"
        ) from error
    return {
        "client_options": {
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            # Of a whole request: a large object over a slow line takes long.
            "timeout": timedelta(hours=2),
            "read_timeout": timedelta(seconds=READ_SECONDS),
            "allow_http": endpoint.startswith("http://"),
        },
        "retry_config": {"max_retries": REQUEST_ATTEMPTS - 1},
    }
