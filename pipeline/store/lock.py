"""Locks: one process at a time changes what is published, or deletes from the store.

A lock is a file of JSON, locks/publishing-N.json. A process takes the lock by creating the file
N+1, which only one process can do, once the lock N has been released or its holder is dead. The
file with the highest N is never removed. The only thing that this needs of a file system is that a
file can be created by one process only; object stores offer that too.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from platform import node
from typing import Any

from pipeline.errors import DamagedError, LockedError, StageError
from pipeline.storage import file_owners
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath, link_exclusive, touch
from pipeline.store import leftovers, publications
from pipeline.store.store import Store

HEARTBEAT_SECONDS = 15.0
# A holder on another machine is dead if its file has not been touched for so long.
TIMEOUT_SECONDS = 300.0
_POLL_SECONDS = 0.5
_NAME = re.compile(r"publishing-(\d+)\.json")


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds.

    Attributes:
        path: the lock's file.
    """

    path: StoragePath

    def check(self) -> None:
        """Check that this process still holds the lock; if it was suspended, it may have lost it.

        Raises:
            StageError: another process has taken the lock.
        """
        newest = _newest(self.path.parent)
        if newest is None or newest.name != self.path.name:
            raise StageError(
                f"this run stood still for more than {TIMEOUT_SECONDS:.0f} s and another took the "
                "store's lock; nothing was published: run it again"
            )


@contextmanager
def hold_store(
    store: Store,
    holder: str,
    *,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Lock]:
    """Hold a store's lock; at first, put in order what dead runs have left unfinished.

    Args:
        store: the store.
        holder: the name of this process in the messages of others.
        wait: seconds to wait for the present holder.
        say: prints, once, for whom this process waits.

    Raises:
        LockedError: another process holds the lock.
    """
    advice = "try again later or give --wait SECONDS"
    folder = store.root / "locks"
    with hold_folder(folder, holder, "the store", advice=advice, wait=wait, say=say) as lock:
        publications.recover(store)
        leftovers.remove_leftovers(store)
        yield lock


def find_holder(store: Store) -> str:
    """Who holds a store's lock, as far as can be told without writing; empty if nobody does."""
    folder = store.root / "locks"
    newest = _newest(folder) if folder.is_dir() else None
    if newest is None:
        return ""
    try:
        holder = read_object(newest) or {}
        age = time.time() - newest.stat().st_mtime
    except (DamagedError, FileNotFoundError):
        return ""
    if holder.get("released"):
        return ""
    alive = _is_alive(holder)
    if alive is None:
        # Of another host. Its clock and this one's agree to less than this.
        alive = age <= TIMEOUT_SECONDS
    return _description(holder) if alive else ""


@contextmanager
def hold_folder(
    folder: StoragePath,
    holder: str,
    what: str,
    *,
    advice: str = "try again later",
    wait: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Lock]:
    """Hold a lock whose files are in a folder, which is created.

    Args:
        folder: the folder of the lock's files.
        holder: the name of this process in the messages of others.
        what: what is locked, for messages.
        advice: what to do if it is locked, for messages.
        wait: seconds to wait for the present holder.
        say: prints, once, for whom this process waits.

    Raises:
        LockedError: another process holds the lock.
    """
    lock = Lock(_acquire(folder, holder, what, advice, wait, say))
    stop = threading.Event()
    threading.Thread(target=_send_heartbeats, args=(lock.path, stop), daemon=True).start()
    try:
        yield lock
    finally:
        stop.set()
        with suppress(StageError, OSError):
            lock.check()
            write_json(lock.path, {**(read_object(lock.path) or {}), "released": _now()})


def _acquire(
    folder: StoragePath,
    holder_name: str,
    what: str,
    advice: str,
    wait: float,
    say: Callable[[str], None],
) -> StoragePath:
    """Take the lock, or wait for it; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".publishing.{file_owners.owner_tag()}"
    process = asdict(file_owners.current_process())
    content = {"holder": holder_name, "host": node(), **process, "since": _now()}
    # Makes the content different from that of every other attempt.
    content["attempt"] = draft.name
    deadline, announced = time.monotonic() + wait, False
    try:
        write_json(draft, content)
        _check_exclusive_writes(draft)
        while True:
            path, holder = _try_to_take(folder, draft)
            if path is not None:
                return path
            if holder is None:
                continue
            if time.monotonic() >= deadline:
                raise LockedError(f"{what} is in use by {_description(holder)}; {advice}")
            if not announced:
                say(f"{what} is in use by {_description(holder)}; waiting for it")
                announced = True
            time.sleep(_POLL_SECONDS)
    finally:
        draft.unlink(missing_ok=True)


def _check_exclusive_writes(draft: StoragePath) -> None:
    """Check that an object store refuses to create an object that exists.

    Raises:
        StageError: it overwrites the object.
    """
    if isinstance(draft, Path):
        return
    try:
        draft.write_exclusive(b"another")
    except FileExistsError:
        return
    raise StageError(
        f"{draft.parent}: this object store does not know conditional writes (If-None-Match), by "
        "which two runs that publish are kept apart; use one that does"
    )


def _try_to_take(
    folder: StoragePath, draft: StoragePath
) -> tuple[StoragePath | None, dict[str, Any] | None]:
    """Try once to take the lock.

    Returns:
        the lock's file and None; or None and its holder; or twice None if the lock has changed
        while it was looked at.
    """
    newest, number = _newest(folder), 0
    if newest is not None:
        number = _number(newest)
        try:
            holder = read_object(newest)
        except DamagedError as error:  # its holder is not known: its age decides
            text = f"an unknown process ({error}; after {TIMEOUT_SECONDS:.0f} s it is passed over)"
            holder = {"holder": text}
        if holder is None and not newest.exists():
            return None, None
        holder = holder or {}
        if not _is_free(newest, holder, draft):
            return None, holder
    path = folder / f"publishing-{number + 1}.json"
    try:
        link_exclusive(draft, path)
    except FileExistsError:
        return None, None
    # If this process was suspended since it looked, its file may have a number that was used and
    # removed before, while others have gone beyond it.
    if _newest(folder) != path:
        path.unlink(missing_ok=True)
        return None, None
    for older in _files(folder):
        if _number(older) <= number:
            older.unlink(missing_ok=True)
    return path, None


def _is_free(path: StoragePath, holder: dict[str, Any], draft: StoragePath) -> bool:
    """Whether a lock has been released, or its holder is dead."""
    if holder.get("released"):
        return True
    alive = _is_alive(holder)
    if alive is not None:
        return not alive
    # Both times are the file system's, because the hosts' clocks differ.
    touch(draft)
    try:
        return draft.stat().st_mtime - path.stat().st_mtime > TIMEOUT_SECONDS
    except FileNotFoundError:
        return False


def _is_alive(holder: dict[str, Any]) -> bool | None:
    """Whether the process of a lock's holder is alive; None if this host can't tell."""
    try:
        process = file_owners.Process(holder["machine"], holder["pid"], holder["started"])
        return process.is_alive()
    except (KeyError, TypeError):  # written by another release, or damaged
        return None


def _send_heartbeats(path: StoragePath, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            touch(path)


def _files(folder: StoragePath) -> list[StoragePath]:
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _newest(folder: StoragePath) -> StoragePath | None:
    return max(_files(folder), key=_number, default=None)


def _number(path: StoragePath) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _description(holder: dict[str, Any]) -> str:
    unknown = "unknown"
    return (
        f"{holder.get('holder', unknown)} (host {holder.get('host', unknown)}, "
        f"pid {holder.get('pid', unknown)}, since {holder.get('since', unknown)})"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
