"""Models as objects: a file is one object, a directory is a prefix with a list of its files.

A file's sha256 is in its object's metadata. A directory's list of files, the object LISTING below
the prefix, is written last: a directory that was pushed in part has no list, or an older one whose
hashes do not fit. Objects of other tools have neither, and are read once to compute their sha256.
"""

import hashlib
import json
import random
import time
import uuid
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from models import disk
from models.content import (
    Content,
    FileEntry,
    check,
    read_content,
    safe_name,
    tree_content,
    tree_entries,
)
from models.errors import ModelError
from models.s3.client import (
    REQUEST_ATTEMPTS,
    Address,
    S3Options,
    connect,
    is_not_found,
    translated_errors,
)

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig

LISTING = ".nitamono-files.json"
_SHA256 = "sha256"  # S3 sends it as x-amz-meta-sha256
_PART_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20


def content_of(uri: str, options: S3Options) -> Content:
    """The content of the object of this key or, if there is none, of the prefix.

    Raises:
        ModelError: there is neither, or the store can't be read.
    """
    address, client = Address.parse(uri), connect(options)
    with translated_errors(address):
        entry = None if address.is_prefix else _entry(client, address, address.key)
        if entry is not None:
            return Content(entry.sha256, entry.size, directory=False)
        return tree_content(_entries(client, address))


def fetch(uri: str, target: Path, content: Content, options: S3Options) -> None:
    """Download an object, or the files of a prefix, to a path; the caller checks the content.

    Raises:
        ModelError: the object is gone, or the store can't be read.
        OSError: the path can't be written.
    """
    address, client = Address.parse(uri), connect(options)
    with translated_errors(address):
        if not content.directory:
            _download(client, address, target)
            return
        for name in _file_names(client, address):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(client, address.child(name), path)


def push(path: Path, uri: str, options: S3Options | None = None) -> Content:
    """Upload a model's file or directory; files that the store has already are not sent again.

    Args:
        path: a file, or a directory.
        uri: the object's address; if it ends in '/', a file keeps its name below it. A
            directory's files go below it with or without '/'.
        options: how to reach the store.

    Raises:
        ModelError: the model can't be read, or the store can't be written.
    """
    address, client = Address.parse(uri), connect(options or S3Options())
    with translated_errors(address):
        if path.is_dir():
            return _push_directory(client, path, address)
        content = read_content(path)
        target = address.child(path.name) if address.is_prefix else address
        _upload(client, path, target, content.sha256)
        return content


def pull(uri: str, folder: Path, options: S3Options | None = None) -> Path:
    """Download a model into a folder, under the last name of its address; replaces one there.

    Returns:
        the file or directory; it appears whole or not at all.

    Raises:
        ModelError: the model is missing or incomplete, or the folder can't be written.
    """
    options = options or S3Options()
    name = safe_name(PurePosixPath(Address.parse(uri).key).name or "model", uri)
    content = content_of(uri, options)
    target, temporary = folder / name, folder / f".{name[:40]}.{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(uri, temporary, content, options)
        check(temporary, content, uri)
        if target.is_dir():
            disk.remove(target)
        return temporary.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: can't be written: {error}") from error
    finally:
        disk.remove(temporary)


def _push_directory(client: Any, folder: Path, address: Address) -> Content:  # noqa: ANN401
    entries = tree_entries(folder)
    for entry in entries:
        _upload(client, folder / entry.name, address.child(entry.name), entry.sha256)
    listing = json.dumps([asdict(entry) for entry in entries], ensure_ascii=False).encode()
    target = address.child(LISTING)
    client.put_object(Bucket=target.bucket, Key=target.key, Body=listing)
    return tree_content(entries)


def _upload(client: Any, path: Path, target: Address, sha256: str) -> None:  # noqa: ANN401
    head = _head(client, target)
    if (
        head is not None
        and head["Metadata"].get(_SHA256) == sha256
        and head["ContentLength"] == path.stat().st_size
    ):
        return
    client.upload_file(
        str(path),
        target.bucket,
        target.key,
        ExtraArgs={"Metadata": {_SHA256: sha256}},
        Config=multipart(),
    )


def _download(client: Any, source: Address, target: Path) -> None:  # noqa: ANN401
    client.download_file(source.bucket, source.key, str(target), Config=multipart())


def multipart() -> "TransferConfig":
    """How large objects are sent and fetched: in parts, each with attempts of its own."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=_PART_BYTES,
        multipart_chunksize=_PART_BYTES,
        # Without this, a part whose download breaks off is retried less often than a
        # failed request.
        num_download_attempts=REQUEST_ATTEMPTS,
    )


def _head(client: Any, address: Address) -> dict[str, Any] | None:  # noqa: ANN401
    """The answer to a HEAD request; None if there is no such object."""
    from botocore.exceptions import ClientError

    try:
        head: dict[str, Any] = client.head_object(Bucket=address.bucket, Key=address.key)
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
    return head


def _entry(client: Any, address: Address, name: str) -> FileEntry | None:  # noqa: ANN401
    """An object's size and sha256; the object is read if its metadata lacks the latter."""
    head = _head(client, address)
    if head is None:
        return None
    size = int(head["ContentLength"])
    sha256 = head["Metadata"].get(_SHA256) or _read_sha256(client, address, size, head["ETag"])
    return FileEntry(name, size, sha256)


def _entries(client: Any, address: Address) -> list[FileEntry]:  # noqa: ANN401
    listing = _read_listing(client, address)
    if listing is not None:
        return listing
    entries = (_entry(client, address.child(name), name) for name in _file_names(client, address))
    return [entry for entry in entries if entry is not None]


def _file_names(client: Any, address: Address) -> list[str]:  # noqa: ANN401
    """The relative paths of a directory's files: those of its list, or all below the prefix."""
    listing = _read_listing(client, address)
    if listing is not None:
        return [entry.name for entry in listing]
    prefix = address.child("").key
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=prefix)
    names = [
        safe_name(item["Key"].removeprefix(prefix), address)
        for page in pages
        for item in page.get("Contents", ())
        # Consoles make empty objects that stand for folders.
        if not item["Key"].endswith("/")
    ]
    if not names:
        raise ModelError(f"{address}: no such object, and none below it; look at the address")
    return names


def _read_listing(client: Any, address: Address) -> list[FileEntry] | None:  # noqa: ANN401
    """A directory's list of files; None if there is no list."""
    from botocore.exceptions import ClientError

    source = address.child(LISTING)
    try:
        body = client.get_object(Bucket=source.bucket, Key=source.key)["Body"].read()
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
    try:
        entries = [FileEntry(**entry) for entry in json.loads(body)]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: not a list of files; push the model again") from error
    for entry in entries:
        safe_name(entry.name, source)
    return entries


def _read_sha256(client: Any, address: Address, size: int, etag: str) -> str:  # noqa: ANN401
    """The sha256 of an object, which is read; a body that breaks off is continued after a pause."""
    from botocore.exceptions import BotoCoreError

    digest, done, attempt = hashlib.sha256(), 0, 0
    while done < size:
        try:
            body = client.get_object(
                Bucket=address.bucket, Key=address.key, Range=f"bytes={done}-", IfMatch=etag
            )["Body"]
            for block in body.iter_chunks(_BLOCK_BYTES):
                digest.update(block)
                done += len(block)
        except BotoCoreError:
            attempt += 1
            if attempt == REQUEST_ATTEMPTS:
                raise
            time.sleep(random.uniform(0.5, 1) * 2**attempt / 4)  # noqa: S311 - no secret
    return digest.hexdigest()
