"""Shipping: how a model gets from the driver to every process that uses it.

`ship` makes a handle on the driver. The handle travels to the executors in a function's closure,
and `local_path` returns the model's file or directory there. There are four methods:

    addfile  a file; Spark's driver serves it to each executor
    archive  a directory; it travels like addfile, as a zip file that Spark unpacks
    s3       a file or a prefix in an object store; each host reads it
    path     a file or a directory on a file system that all hosts share; it is used in place

`auto` selects
    s3 for the address of an object store as source, of whatever kind;
    path on a local[...] master, where driver and executors share a file system;
    s3 for a model of more than STAGED_BYTES, if `StoreOptions.staging` says where to put it;
    archive for any other directory, addfile for any other file.

With every method except path, a host keeps one copy in its cache (`models.cache`), and all its
processes map that copy. Spark gives each executor its own copy of an added file; the first process
that needs the model links its executor's copy into the cache, and the other copies are never
opened. The driver adds the file from its own cache under a name that contains the content's hash,
for two reasons: Spark identifies an added file by its base name and serves the old content when
the file changes, and a model that is retrained in place would be read half old, half new.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from models import archive
from models.cache import Cache
from models.content import Content, check, read_content
from models.disk import copy, link_or_copy
from models.errors import ModelError
from models.handle import Handle, Method, entry_name
from models.stores import StoreOptions, objects

if TYPE_CHECKING:
    from pyspark import SparkContext

STAGED_BYTES = 1 << 30


def ship(
    context: "SparkContext",
    source: str | Path,
    *,
    kind: str,
    name: str | None = None,
    method: Literal["auto"] | Method = "auto",
    stores: StoreOptions | None = None,
) -> Handle:
    """Make a model available to the driver and to all executors of a session.

    Args:
        context: of the session.
        source: a file, a directory, or the address of an object or a prefix in an object store.
        kind: which loader reads the model.
        name: the model's name in messages; the source's name if it is left out.
        method: how the model travels; `auto` is explained above.
        stores: how to reach the object stores.

    Raises:
        ModelError: the source can't be read, or the method can't ship it.
    """
    options = stores or StoreOptions()
    if isinstance(source, str) and "://" in source:
        if method not in ("auto", "s3"):
            raise ModelError(f"{source}: {method} is for local models; s3 or auto reads it")
        content = objects.content_of(source, options)
        return _handle(kind, name or source, content, "s3", source, options)
    path = Path(source).absolute()
    content = read_content(path)
    resolved = _select_method(context, content, options) if method == "auto" else method
    address = _SEND[resolved](context, path, content, options)
    return _handle(kind, name or path.name, content, resolved, address, options)


def local_path(handle: Handle) -> Path:
    """Return the model's path on this host, valid until the process ends.

    It works on the driver and on executors. The first process of a host fetches the model if
    necessary, and reads it once to check that its content is what was shipped.

    Raises:
        ModelError: the model can't be fetched, its content is another one, or the host's cache
            can't be used.
    """
    cache = Cache.for_this_host()
    if handle.method == "path":
        path = Path(handle.address)
        cache.check_once(path, handle.content)
        return path
    fetch = _FETCH[handle.method]
    return cache.get_or_fetch(
        handle.entry,
        handle.size,
        lambda target: fetch(handle, target),
        lambda target: check(target, handle.content, f"{handle.name} ({handle.method})"),
    )


def _handle(
    kind: str, name: str, content: Content, method: Method, address: str, options: StoreOptions
) -> Handle:
    stores = replace(options, staging=None) if method == "s3" else None
    return Handle(kind, name, content, method, address, stores)


def _select_method(context: "SparkContext", content: Content, options: StoreOptions) -> Method:
    master = context.master or ""
    if master == "local" or master.startswith("local["):
        return "path"
    if options.staging and content.size > STAGED_BYTES:
        return "s3"
    return "archive" if content.directory else "addfile"


def _send_file(context: "SparkContext", path: Path, content: Content, _: StoreOptions) -> str:
    if content.directory:
        raise ModelError(f"{path}: addfile is for files; archive takes a directory")
    staged = Cache.for_this_host().get_or_fetch(
        entry_name(content, path.name),
        content.size,
        lambda target: copy(path, target),
        lambda target: check(target, content, str(path)),
    )
    if not _is_added(staged.name, context.listFiles):
        context.addFile(str(staged))
    return staged.name


def _send_archive(context: "SparkContext", path: Path, content: Content, _: StoreOptions) -> str:
    if not content.directory:
        raise ModelError(f"{path}: archive is for directories; addfile takes a file")
    staged = Cache.for_this_host().get_or_fetch(
        _zip_name(content),
        content.size,
        lambda target: archive.pack(path, target),
        lambda target: archive.check(target, content, str(path)),
    )
    name = entry_name(content, path.name)
    if not _is_added(staged.name, context.listArchives):
        context.addArchive(f"{staged.as_uri()}#{name}")
    return name


def _send_s3(_: "SparkContext", path: Path, content: Content, options: StoreOptions) -> str:
    if options.staging is None:
        raise ModelError(
            f"{path}: s3 needs StoreOptions.staging, a prefix in an object store to put it under"
        )
    uri = f"{options.staging.rstrip('/')}/{entry_name(content, path.name)}"
    if objects.push(path, uri, options) != content:
        raise ModelError(f"{path}: changed while it was uploaded; ship it again")
    return uri


def _send_path(_: "SparkContext", path: Path, __: Content, ___: StoreOptions) -> str:
    return str(path)


def _zip_name(content: Content) -> str:
    return f"{content.sha256}.zip"


def _is_added(name: str, addresses: list[str]) -> bool:
    return any(PurePosixPath(address.partition("#")[0]).name == name for address in addresses)


def _fetch_file(handle: Handle, target: Path) -> None:
    link_or_copy(_added_path(handle), target)


def _fetch_archive(handle: Handle, target: Path) -> None:
    staged = Cache.for_this_host().find(_zip_name(handle.content))
    if staged is not None:
        archive.unpack(staged, target)
    else:
        archive.restore(_added_path(handle), target)


def _fetch_s3(handle: Handle, target: Path) -> None:
    objects.fetch(handle.address, target, handle.content, handle.stores or StoreOptions())


def _added_path(handle: Handle) -> Path:
    """Return where Spark put the file or the unpacked archive on this executor."""
    from pyspark import SparkFiles, TaskContext

    # Only a task has one: on the driver SparkFiles would ask the session for its own folder.
    if TaskContext.get() is not None:
        path = Path(SparkFiles.get(handle.address)).absolute()
        if path.exists():
            return path
    raise ModelError(
        f"{handle.name}: not on this host: its {handle.method} belongs to another Spark session; "
        "call models.shipping.ship in this one"
    )


_SEND: dict[Method, Callable[["SparkContext", Path, Content, StoreOptions], str]] = {
    "addfile": _send_file,
    "archive": _send_archive,
    "s3": _send_s3,
    "path": _send_path,
}
_FETCH: dict[Method, Callable[[Handle, Path], None]] = {
    "addfile": _fetch_file,
    "archive": _fetch_archive,
    "s3": _fetch_s3,
}
