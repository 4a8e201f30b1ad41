"""The keys of an export in redis: their names, and the removal of a version's keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from redis import Redis

from pipeline.export.source import Source

# Field of a version's progress: the hash of the names of the files that it is about.
NAMES_HASH = ".files"
_SCAN_BATCH = 1000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Keys:
    """The names of the keys.

    Attributes:
        prefix: prefix of them all.
    """

    prefix: str

    @property
    def latest(self) -> str:
        """The pointer: the version that readers read."""
        return f"{self.prefix}:LATEST"

    @property
    def versions(self) -> str:
        """The set of the versions that have keys."""
        return f"{self.prefix}:VERSIONS"

    @property
    def lock(self) -> str:
        """The lock of the export that is under way."""
        return f"{self.prefix}:LOCK"

    def progress(self, version: str) -> str:
        """The files of a version that have been written: rows and items of each."""
        return f"{self.prefix}:PROGRESS:{version}"

    def item(self, version: str, item: str) -> str:
        """An item's list."""
        return f"{self.prefix}:{version}:{item}"

    def pattern(self, version: str) -> str:
        """The pattern by which SCAN finds all lists of a version."""
        literal = self.item(version, "")
        return "".join(f"\\{char}" if char in "\\*?[]^-" else char for char in literal) + "*"


def prepare_version(client: Redis, keys: Keys, source: Source, published: str) -> None:
    """Remove versions that nobody reads, and begin or continue this one.

    Args:
        client: a client of the server.
        keys: names of the keys.
        source: the version to export; what an interrupted export has written of it is kept.
        published: the version that readers read now.
    """
    for version in sorted(as_text(member) for member in client.smembers(keys.versions)):
        if version not in (published, source.version):
            remove_version(client, keys, version)
    names_hash, progress = source.names_hash(), keys.progress(source.version)
    if source.version == published:
        client.delete(progress)
    elif as_text(client.hget(progress, NAMES_HASH)) != names_hash:
        # The keys are of another store's version of this name, or of one that was being removed.
        remove_version(client, keys, source.version)
    client.sadd(keys.versions, source.version)
    client.hset(progress, NAMES_HASH, names_hash)


def remove_version(client: Redis, keys: Keys, version: str, seconds: int = 0) -> None:
    """Remove a version's keys, now or after some seconds.

    If it is interrupted, the next export removes the rest: the version is forgotten last.
    """
    client.delete(keys.progress(version))
    lists = client.scan_iter(match=keys.pattern(version), count=_SCAN_BATCH)
    for batch in batched(lists, _SCAN_BATCH):
        if not seconds:
            client.unlink(*batch)
            continue
        pipe = client.pipeline(transaction=False)
        for key in batch:
            pipe.expire(key, seconds)
        pipe.execute()
    client.srem(keys.versions, version)


def batched(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The values in lists of at most this size."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def as_text(value: object) -> str:
    """A value from the server as text; empty if there is none."""
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
