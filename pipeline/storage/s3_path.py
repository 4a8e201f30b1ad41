"""Paths in an object store that speaks S3: the part of pathlib.Path that the store's files need.

A folder exists as long as an object lies below it. Nothing is cached: every listing and every read
is a new request, which since 2020 S3 answers consistently.
"""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import ModelError
from models.s3.client import (
    Address,
    S3Options,
    connect,
    delete_objects,
    is_not_found,
    translated_errors,
)
from models.s3.objects import multipart

SCHEME = "s3a"
# Objects that a message names.
_MAX_NAMED = 3


class ObjectStoreError(OSError):
    """An object store refuses a request or fails; the message says where, why and what to do."""


@dataclass(frozen=True)
class Stat:
    """An object's state, as a listing has it.

    Attributes:
        st_size: bytes.
        st_mtime: time of its last write by the store's clock, in seconds since the epoch.
        etag: a tag that changes with the content; empty for a folder.
    """

    st_size: int
    st_mtime: float
    etag: str = ""


@dataclass(frozen=True)
class S3Path:
    """The path of an object, or of a folder: a prefix that objects lie below.

    Attributes:
        bucket: name of the bucket.
        key: key without a slash at either end; empty for the whole bucket.
        options: how to reach the store.
        listed: state of the object, if the path comes from a listing.
    """

    bucket: str
    key: str
    options: S3Options = field(default=S3Options(), compare=False, repr=False)
    listed: Stat | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, options: S3Options) -> "S3Path":
        """The path of an address: s3a://BUCKET/KEY or s3://BUCKET/KEY.

        Raises:
            ModelError: the text is no such address.
        """
        address = Address.parse(text)
        return cls(address.bucket, address.key.strip("/"), options)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> "S3Path":
        return self._with_key(f"{self.key}/{name}" if self.key else name)

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
        """The folder that it lies in."""
        return self._with_key(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "S3Path":
        """The path of this name in the same folder."""
        return self.parent / name

    def relative_to(self, other: "S3Path") -> PurePosixPath:
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
        with self._translated_errors():
            page = self._client().list_objects_v2(
                Bucket=self.bucket, Prefix=self._prefix(), MaxKeys=1
            )
        return bool(page.get("Contents"))

    def stat(self) -> Stat:
        """The object's state; zeros for a folder.

        Raises:
            FileNotFoundError: there is neither object nor folder.
        """
        if self.listed is not None:
            return self.listed
        try:
            with self._translated_errors():
                head = self._client().head_object(Bucket=self.bucket, Key=self.key)
        except FileNotFoundError:
            if self.is_dir():
                return Stat(0, 0.0)
            raise
        return Stat(head["ContentLength"], head["LastModified"].timestamp(), head["ETag"])

    def iterdir(self) -> Iterator["S3Path"]:
        """The folders and objects directly below."""
        for page in self._pages(Delimiter="/"):
            for folder in page.get("CommonPrefixes", ()):
                yield self._with_key(folder["Prefix"].rstrip("/"))
            yield from self._objects(page)

    def rglob(self, pattern: str) -> Iterator["S3Path"]:
        """The objects at any depth whose names match."""
        for page in self._pages():
            objects = self._objects(page)
            yield from (path for path in objects if fnmatch.fnmatchcase(path.name, pattern))

    def glob(self, pattern: str) -> Iterator["S3Path"]:
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
        with self._translated_errors():
            body = self._client().get_object(Bucket=self.bucket, Key=self.key)["Body"]
            content: bytes = body.read()
        return content

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object's content as text.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write the object: a reader sees the old one or the new one, never a part."""
        with self._translated_errors():
            self._client().put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def upload(self, source: Path) -> None:
        """Write the object from a local file of any size: it appears whole or not at all."""
        with self._translated_errors():
            self._client().upload_file(str(source), self.bucket, self.key, Config=multipart())

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
            with self._translated_errors():
                self._client().put_object(
                    Bucket=self.bucket, Key=self.key, Body=content, IfNoneMatch="*"
                )
        except FileExistsError:
            # If the answer to the first request was lost, the second one met our own object.
            if self.read_bytes() != content:
                raise

    def touch(self) -> None:
        """Set the object's time to now, by the store's clock.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._translated_errors():
            self._client().copy_object(
                Bucket=self.bucket,
                Key=self.key,
                CopySource={"Bucket": self.bucket, "Key": self.key},
                # A store refuses to copy an object onto itself unless something is new.
                MetadataDirective="REPLACE",
                Metadata={},
            )

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder exists as soon as an object lies below it."""

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object; S3 does not tell whether there was one."""
        with self._translated_errors():
            self._client().delete_object(Bucket=self.bucket, Key=self.key)

    def remove_tree(self) -> None:
        """Delete all objects below, a page of the listing, 1,000 of them, by one request.

        Raises:
            ObjectStoreError: some can't be deleted, each for a reason of its own; all others are.
        """
        problems: list[str] = []
        for page in self._pages():
            keys = [item["Key"] for item in page.get("Contents", ())]
            with self._translated_errors():
                problems += delete_objects(self._client(), self.bucket, keys)
        if problems:
            more = f"; and {len(problems) - _MAX_NAMED} more" if len(problems) > _MAX_NAMED else ""
            raise ObjectStoreError(f"{self}: not deleted: {'; '.join(problems[:_MAX_NAMED])}{more}")

    def _with_key(self, key: str) -> "S3Path":
        return S3Path(self.bucket, key, self.options)

    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        return _client(self.options)

    def _pages(self, **arguments: str) -> Iterator[dict[str, Any]]:
        with self._translated_errors():
            pages = self._client().get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self.bucket, Prefix=self._prefix(), **arguments)

    def _objects(self, page: dict[str, Any]) -> Iterator["S3Path"]:
        for item in page.get("Contents", ()):
            # Consoles and Hadoop make empty objects that stand for folders.
            if not item["Key"].endswith("/"):
                listed = Stat(item["Size"], item["LastModified"].timestamp(), item["ETag"])
                yield S3Path(self.bucket, item["Key"], self.options, listed)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn boto3's errors into an OSError."""
        from botocore.exceptions import ClientError

        try:
            with translated_errors(self):
                yield
        except ModelError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError):
                if is_not_found(cause):
                    raise FileNotFoundError(str(error)) from error
                status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                # 409: another process is writing the object at this moment.
                if status in (409, 412):
                    raise FileExistsError(str(error)) from error
            raise ObjectStoreError(str(error)) from error


@cache
def _client(options: S3Options) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
    """The process's client for these options, which keeps its connections open."""
    return connect(options)
