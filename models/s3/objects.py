"""Models as objects: a file is one object, a directory is a prefix with a list of its files.

A file's sha256 is in its object's metadata. A directory's list, LISTING below the prefix, is
written last: a directory that was pushed in part has none, or an old one whose hashes say so.
Objects that other tools have put there have neither; they are read once to know their content.
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
    """The content of an object or, where there is none of this key, of the prefix.

    Raises:
        ModelError: there is neither, or the store can't be read.
    """
    address, client = Address.parse(uri), connect(options)
    with translated_errors(address):
        part = None if address.is_prefix else _part(client, address, address.key)
        if part is not None:
            return Content(part.sha256, part.size, directory=False)
        return tree_content(_parts(client, address))


def fetch(uri: str, target: Path, content: Content, options: S3Options) -> None:
    """Write an object, or the files of a prefix, under a path; the content is the caller's check.

    Raises:
        ModelError: it is gone, or the store can't be read.
        OSError: the path can't be written.
    """
    address, client = Address.parse(uri), connect(options)
    with translated_errors(address):
        if not content.directory:
            _download(client, address, target)
            return
        for name in _names(client, address):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(client, address.below(name), path)


def push(path: Path, uri: str, options: S3Options | None = None) -> Content:
    """Upload a model's file or directory; what the store has already is not sent again.

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
        place = address.below(path.name) if address.is_prefix else address
        _upload(client, path, place, content.sha256)
        return content


def pull(uri: str, folder: Path, options: S3Options | None = None) -> Path:
    """Download a model into a folder, under the last name of its address; replaces one there.

    Returns:
        the file or directory; it is there whole or not at all.

    Raises:
        ModelError: the model isn't there or isn't whole, or the folder can't be written.
    """
    options = options or S3Options()
    name = safe_name(PurePosixPath(Address.parse(uri).key).name or "model", uri)
    content = content_of(uri, options)
    target, beside = folder / name, folder / f".{name[:40]}.{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(uri, beside, content, options)
        check(beside, content, uri)
        if target.is_dir():
            disk.remove(target)
        return beside.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: can't be written: {error}") from error
    finally:
        disk.remove(beside)


def _push_directory(client: Any, folder: Path, address: Address) -> Content:  # noqa: ANN401
    parts = tree_entries(folder)
    for part in parts:
        _upload(client, folder / part.name, address.below(part.name), part.sha256)
    listing = json.dumps([asdict(part) for part in parts], ensure_ascii=False).encode()
    place = address.below(LISTING)
    client.put_object(Bucket=place.bucket, Key=place.key, Body=listing)
    return tree_content(parts)


def _upload(client: Any, path: Path, place: Address, sha256: str) -> None:  # noqa: ANN401
    found = _head(client, place)
    if (
        found is not None
        and found["Metadata"].get(_SHA256) == sha256
        and found["ContentLength"] == path.stat().st_size
    ):
        return
    client.upload_file(
        str(path),
        place.bucket,
        place.key,
        ExtraArgs={"Metadata": {_SHA256: sha256}},
        Config=multipart(),
    )


def _download(client: Any, place: Address, target: Path) -> None:  # noqa: ANN401
    client.download_file(place.bucket, place.key, str(target), Config=multipart())


def multipart() -> "TransferConfig":
    """How large objects are sent and fetched: in parts, each tried again."""
    from boto3.s3.transfer import TransferConfig

    # A part that breaks off is asked for again, as often as a request.
    return TransferConfig(
        multipart_threshold=_PART_BYTES,
        multipart_chunksize=_PART_BYTES,
        num_download_attempts=REQUEST_ATTEMPTS,
    )


def _head(client: Any, place: Address) -> dict[str, Any] | None:  # noqa: ANN401
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = client.head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
    return found


def _part(client: Any, place: Address, name: str) -> FileEntry | None:  # noqa: ANN401
    """What an object holds; without our metadata it is read to know."""
    found = _head(client, place)
    if found is None:
        return None
    size = int(found["ContentLength"])
    sha256 = found["Metadata"].get(_SHA256) or _streamed(client, place, size, found["ETag"])
    return FileEntry(name, size, sha256)


def _parts(client: Any, address: Address) -> list[FileEntry]:  # noqa: ANN401
    listed = _listing(client, address)
    if listed is not None:
        return listed
    found = (_part(client, address.below(name), name) for name in _names(client, address))
    return [part for part in found if part is not None]


def _names(client: Any, address: Address) -> list[str]:  # noqa: ANN401
    """The relative paths of a directory's files: as pushed, else all objects of the prefix."""
    listed = _listing(client, address)
    if listed is not None:
        return [part.name for part in listed]
    prefix = address.below("").key
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


def _listing(client: Any, address: Address) -> list[FileEntry] | None:  # noqa: ANN401
    from botocore.exceptions import ClientError

    place = address.below(LISTING)
    try:
        body = client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
    try:
        parts = [FileEntry(**part) for part in json.loads(body)]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{place}: not a list of files; push the model again") from error
    for part in parts:
        safe_name(part.name, place)
    return parts


def _streamed(client: Any, place: Address, size: int, etag: str) -> str:  # noqa: ANN401
    """The sha256 of an object; a body that breaks off is read on from there, after a pause."""
    from botocore.exceptions import BotoCoreError

    digest, done, attempt = hashlib.sha256(), 0, 0
    while done < size:
        try:
            body = client.get_object(
                Bucket=place.bucket, Key=place.key, Range=f"bytes={done}-", IfMatch=etag
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
