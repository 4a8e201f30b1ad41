"""Models as objects: a file is one object, a directory is a prefix with a list of its files.

A file's sha256 is in its object's metadata. A directory's list of files, the object LISTING below
the prefix, is written last: a directory that was pushed in part has no list, or an older one whose
hashes do not fit. Objects of other tools have neither, and are read once to compute their sha256.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath

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
from models.stores.address import Address
from models.stores.client import Client, MissingObjectError, ObjectStoreError, Stat, connect
from models.stores.options import StoreOptions

LISTING = ".nitamono-files.json"
_SHA256 = "sha256"  # S3 sends it as x-amz-meta-sha256


def content_of(uri: str, options: StoreOptions) -> Content:
    """The content of the object of this key or, if there is none, of the prefix.

    Raises:
        ModelError: there is neither, or the store can't be read.
    """
    address = Address.parse(uri)
    with _model_errors():
        client = connect(address, options)
        entry = None if address.is_prefix else _entry(client, address, address.key)
        if entry is not None:
            return Content(entry.sha256, entry.size, directory=False)
        return tree_content(_entries(client, address))


def fetch(uri: str, target: Path, content: Content, options: StoreOptions) -> None:
    """Download an object, or the files of a prefix, to a path; the caller checks the content.

    Raises:
        ModelError: the object is gone, or the store can't be read.
        OSError: the path can't be written.
    """
    address = Address.parse(uri)
    with _model_errors():
        client = connect(address, options)
        if not content.directory:
            client.download(address, target)
            return
        for name in _file_names(client, address):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download(address.child(name), path)


def push(path: Path, uri: str, options: StoreOptions | None = None) -> Content:
    """Upload a model's file or directory; files that the store has already are not sent again.

    Args:
        path: a file, or a directory.
        uri: the object's address; if it ends in '/', a file keeps its name below it. A
            directory's files go below it with or without '/'.
        options: how to reach the store.

    Raises:
        ModelError: the model can't be read, or the store can't be written.
    """
    address = Address.parse(uri)
    with _model_errors():
        client = connect(address, options or StoreOptions())
        if path.is_dir():
            return _push_directory(client, path, address)
        content = read_content(path)
        target = address.child(path.name) if address.is_prefix else address
        _upload(client, path, target, content.sha256)
        return content


def pull(uri: str, folder: Path, options: StoreOptions | None = None) -> Path:
    """Download a model into a folder, under the last name of its address; replaces one there.

    Returns:
        the file or directory; it appears whole or not at all.

    Raises:
        ModelError: the model is missing or incomplete, or the folder can't be written.
    """
    options = options or StoreOptions()
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


def _push_directory(client: Client, folder: Path, address: Address) -> Content:
    entries = tree_entries(folder)
    for entry in entries:
        _upload(client, folder / entry.name, address.child(entry.name), entry.sha256)
    listing = json.dumps([asdict(entry) for entry in entries], ensure_ascii=False).encode()
    client.put(address.child(LISTING), listing)
    return tree_content(entries)


def _upload(client: Client, path: Path, target: Address, sha256: str) -> None:
    head = _head(client, target)
    if head is None or (head.metadata.get(_SHA256), head.st_size) != (sha256, path.stat().st_size):
        client.upload(target, path, {_SHA256: sha256})


def _head(client: Client, address: Address) -> Stat | None:
    """An object's state; None if there is no such object."""
    try:
        return client.head(address)
    except MissingObjectError:
        return None


def _entry(client: Client, address: Address, name: str) -> FileEntry | None:
    """An object's size and sha256; the object is read if its metadata lacks the latter."""
    stat = _head(client, address)
    if stat is None:
        return None
    sha256 = stat.metadata.get(_SHA256)
    if sha256 is None:
        digest = hashlib.sha256()
        for block in client.blocks(address, stat):
            digest.update(block)
        sha256 = digest.hexdigest()
    return FileEntry(name, stat.st_size, sha256)


def _entries(client: Client, address: Address) -> list[FileEntry]:
    listing = _read_listing(client, address)
    if listing is not None:
        return listing
    entries = (_entry(client, address.child(name), name) for name in _file_names(client, address))
    return [entry for entry in entries if entry is not None]


def _file_names(client: Client, address: Address) -> list[str]:
    """The relative paths of a directory's files: those of its list, or all below the prefix."""
    listing = _read_listing(client, address)
    if listing is not None:
        return [entry.name for entry in listing]
    folder = address.folder
    names = [
        safe_name(key.removeprefix(folder.key), address)
        for key, _ in client.entries(folder, recursive=True)
    ]
    if not names:
        raise ModelError(f"{address}: no such object, and none below it; look at the address")
    return names


def _read_listing(client: Client, address: Address) -> list[FileEntry] | None:
    """A directory's list of files; None if there is no list."""
    source = address.child(LISTING)
    try:
        body = client.get(source)
    except MissingObjectError:
        return None
    try:
        entries = [FileEntry(**entry) for entry in json.loads(body)]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: not a list of files; push the model again") from error
    for entry in entries:
        safe_name(entry.name, source)
    return entries


@contextmanager
def _model_errors() -> Iterator[None]:
    """Turn errors of the object store into ModelErrors."""
    try:
        yield
    except ObjectStoreError as error:
        raise ModelError(str(error)) from error
