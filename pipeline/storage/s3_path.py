"""Paths in an object store that speaks S3, as far as a store's metadata needs them.

The names are those of pathlib.Path. A folder is whatever has an object below it. Listings and
whatever is read are asked for anew each time: since 2020 S3 is consistent, and caches are not.
"""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import ModelError
from models.s3.client import Address, S3Options, connect, is_not_found, translated_errors
from models.s3.objects import multipart

SCHEME = "s3a"


class ObjectStoreError(OSError):
    """An object store refuses or fails; the message names the address and says what to do."""


@dataclass(frozen=True)
class Stat:
    """What a listing tells of an object.

    Attributes:
        st_size: bytes.
        st_mtime: when it was written by the store's clock, in seconds since the epoch.
        etag: another for another content; empty for a folder.
    """

    st_size: int
    st_mtime: float
    etag: str = ""


@dataclass(frozen=True)
class S3Path:
    """An object, or what lies below a prefix.

    Attributes:
        bucket: its name.
        key: without a slash at either end; empty for the whole bucket.
        options: how to reach the store.
        known: of an object that was just listed.
    """

    bucket: str
    key: str
    options: S3Options = field(default=S3Options(), compare=False, repr=False)
    known: Stat | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, options: S3Options) -> "S3Path":
        """Take an address apart: s3a://BUCKET/KEY, or s3://.

        Raises:
            ModelError: it is no such address.
        """
        address = Address.parse(text)
        return cls(address.bucket, address.key.strip("/"), options)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> "S3Path":
        return self._at(f"{self.key}/{name}" if self.key else name)

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
    def parent(self) -> "S3Path":
        """What it lies in."""
        return self._at(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "S3Path":
        """Its neighbour of that name."""
        return self.parent / name

    def relative_to(self, other: "S3Path") -> PurePosixPath:
        """The part of the key below another path."""
        return PurePosixPath(self.key.removeprefix(other.key).lstrip("/"))

    def exists(self) -> bool:
        """Whether there is an object, or something below."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object."""
        if self.known is not None:
            return True
        if not self.key:
            return False
        try:
            return bool(self.stat().etag)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Whether there is something below."""
        with self._reached():
            found = self._client().list_objects_v2(
                Bucket=self.bucket, Prefix=self._prefix(), MaxKeys=1
            )
        return bool(found.get("Contents"))

    def stat(self) -> Stat:
        """Size and time of the object; of a folder, zeros.

        Raises:
            FileNotFoundError: there is neither.
        """
        if self.known is not None:
            return self.known
        try:
            with self._reached():
                found = self._client().head_object(Bucket=self.bucket, Key=self.key)
        except FileNotFoundError:
            if self.is_dir():
                return Stat(0, 0.0)
            raise
        return Stat(found["ContentLength"], found["LastModified"].timestamp(), found["ETag"])

    def iterdir(self) -> Iterator["S3Path"]:
        """What lies directly below: folders and objects."""
        for page in self._pages(Delimiter="/"):
            for folder in page.get("CommonPrefixes", ()):
                yield self._at(folder["Prefix"].rstrip("/"))
            yield from self._objects(page)

    def rglob(self, pattern: str) -> Iterator["S3Path"]:
        """The objects at any depth whose names match."""
        for page in self._pages():
            found = self._objects(page)
            yield from (path for path in found if fnmatch.fnmatchcase(path.name, pattern))

    def glob(self, pattern: str) -> Iterator["S3Path"]:
        """The folders and objects that match, level by level."""
        first, _, rest = pattern.partition("/")
        if not any(char in first for char in "*?["):
            found = [self / first]
            if not rest:
                found = [path for path in found if path.exists()]
        else:
            found = [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, first)]
        if not rest:
            yield from found
            return
        for path in found:
            yield from path.glob(rest)

    def read_bytes(self) -> bytes:
        """The object's content.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._reached():
            body = self._client().get_object(Bucket=self.bucket, Key=self.key)["Body"]
            content: bytes = body.read()
        return content

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object's content as text.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write the object: a reader sees the old one or the new one, never a part."""
        with self._reached():
            self._client().put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def upload(self, source: Path) -> None:
        """Write the object from a file, of whatever size: it is there whole or not at all."""
        with self._reached():
            self._client().upload_file(str(source), self.bucket, self.key, Config=multipart())

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write the object."""
        self.write_bytes(text.encode(encoding))

    def write_exclusive(self, content: bytes) -> None:
        """Write an object that is not there yet: of several who try at once one succeeds.

        Args:
            content: of each who tries another, if it matters who succeeds.

        Raises:
            FileExistsError: it is there, with another content.
        """
        try:
            with self._reached():
                self._client().put_object(
                    Bucket=self.bucket, Key=self.key, Body=content, IfNoneMatch="*"
                )
        except FileExistsError:
            # Where the answer to the first request was lost, it is our own that the second one met.
            if self.read_bytes() != content:
                raise

    def touch(self) -> None:
        """Set the object's time to now, by the store's clock.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._reached():
            self._client().copy_object(
                Bucket=self.bucket,
                Key=self.key,
                CopySource={"Bucket": self.bucket, "Key": self.key},
                # A store refuses to copy an object onto itself unless something is new.
                MetadataDirective="REPLACE",
                Metadata={},
            )

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders come with what is below them."""

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object; one that is not there is no error to S3."""
        with self._reached():
            self._client().delete_object(Bucket=self.bucket, Key=self.key)

    def remove_tree(self) -> None:
        """Delete all that lies below."""
        for page in self._pages():
            for item in page.get("Contents", ()):
                with self._reached():
                    self._client().delete_object(Bucket=self.bucket, Key=item["Key"])

    def _at(self, key: str) -> "S3Path":
        return S3Path(self.bucket, key, self.options)

    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        return _client(self.options)

    def _pages(self, **more: str) -> Iterator[dict[str, Any]]:
        with self._reached():
            pages = self._client().get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self.bucket, Prefix=self._prefix(), **more)

    def _objects(self, page: dict[str, Any]) -> Iterator["S3Path"]:
        for item in page.get("Contents", ()):
            # Consoles and Hadoop make empty objects that stand for folders.
            if not item["Key"].endswith("/"):
                known = Stat(item["Size"], item["LastModified"].timestamp(), item["ETag"])
                yield S3Path(self.bucket, item["Key"], self.options, known)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what boto3 raises into an OSError."""
        from botocore.exceptions import ClientError

        try:
            with translated_errors(self):
                yield
        except ModelError as error:
            why = error.__cause__
            if isinstance(why, ClientError):
                if is_not_found(why):
                    raise FileNotFoundError(str(error)) from error
                status = why.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                # 409: another is at it this very moment.
                if status in (409, 412):
                    raise FileExistsError(str(error)) from error
            raise ObjectStoreError(str(error)) from error


@cache
def _client(options: S3Options) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
    """One client a process; its connections are kept."""
    return connect(options)
