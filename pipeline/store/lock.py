"""The store's lock: one at a time moves what is published, or removes from the store.

A lock is a file of JSON, locks/publishing-N.json. It is taken by making N+1, which only one can do,
once N is given back or its holder is dead; the file with the highest N is never removed. So nothing
is needed of the file system but that a file is made by one only, which object stores offer too.
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

from pipeline.errors import LockedError, StageError
from pipeline.storage import processes
from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath, link_exclusive, touch
from pipeline.store import leftovers, publications
from pipeline.store.store import Store

BEAT_SECONDS = 15.0
# A holder on another machine that gave no sign of life for so long is dead.
LIMIT_SECONDS = 300.0
_POLL_SECONDS = 0.5
_NAME = re.compile(r"publishing-(\d+)\.json")


@dataclass(frozen=True)
class Lock:
    """A lock that is held: its file."""

    path: StoragePath

    def check(self) -> None:
        """See that it has not been taken away: of a process that stood still that may happen.

        Raises:
            StageError: it has.
        """
        newest = _newest(self.path.parent)
        if newest is None or newest.name != self.path.name:
            raise StageError(
                f"this run stood still for more than {LIMIT_SECONDS:.0f} s and another took the "
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
    """Hold the store's lock; what dead runs have left undone is put in order first.

    Args:
        store: whose lock.
        holder: who takes it, for the messages of the others.
        wait: for the present holder, in seconds.
        say: is told, once, for whom it waits.

    Raises:
        LockedError: another holds it.
    """
    advice = "try again later or give --wait SECONDS"
    folder = store.root / "locks"
    with hold_folder(folder, holder, "the store", advice=advice, wait=wait, say=say) as lock:
        publications.recover(store)
        leftovers.remove_leftovers(store)
        yield lock


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
    """Hold a lock whose files are in this folder, which is made.

    Args:
        folder: of the lock's files.
        holder: who takes it, for the messages of the others.
        what: it is that is locked, for these too.
        advice: what they are to do, for these too.
        wait: for the present holder, in seconds.
        say: is told, once, for whom it waits.

    Raises:
        LockedError: another holds it.
    """
    lock = Lock(_acquire(folder, holder, what, advice, wait, say))
    stop = threading.Event()
    threading.Thread(target=_beat, args=(lock.path, stop), daemon=True).start()
    try:
        yield lock
    finally:
        stop.set()
        with suppress(StageError, OSError):
            lock.check()
            write_json(lock.path, {**read_json(lock.path), "released": _now()})


def _acquire(
    folder: StoragePath,
    who: str,
    what: str,
    advice: str,
    wait: float,
    say: Callable[[str], None],
) -> StoragePath:
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".publishing.{processes.owner_tag()}"
    about = {"holder": who, "host": node(), **asdict(processes.current_process()), "since": _now()}
    # No other attempt's file has the same content.
    about["attempt"] = beside.name
    deadline, told = time.monotonic() + wait, False
    try:
        write_json(beside, about)
        _see_that_names_are_kept_apart(beside)
        while True:
            taken, holder = _take(folder, beside)
            if taken is not None:
                return taken
            if holder is None:
                continue
            if time.monotonic() >= deadline:
                raise LockedError(f"{what} is in use by {_described(holder)}; {advice}")
            if not told:
                say(f"{what} is in use by {_described(holder)}; waiting for it")
                told = True
            time.sleep(_POLL_SECONDS)
    finally:
        beside.unlink(missing_ok=True)


def _see_that_names_are_kept_apart(beside: StoragePath) -> None:
    """See that what the lock is made of holds here.

    Raises:
        StageError: an object store writes over what is not to be written over.
    """
    if isinstance(beside, Path):
        return
    try:
        beside.write_exclusive(b"another")
    except FileExistsError:
        return
    raise StageError(
        f"{beside.parent}: this object store does not know conditional writes (If-None-Match), by "
        "which two runs that publish are kept apart; use one that does"
    )


def _take(
    folder: StoragePath, beside: StoragePath
) -> tuple[StoragePath | None, dict[str, Any] | None]:
    """Try once: the lock's file; or whoever holds it; or neither, where it changed meanwhile."""
    newest, number = _newest(folder), 0
    if newest is not None:
        number = _number(newest)
        holder = read_json(newest)
        if holder is None and not newest.exists():
            return None, None
        holder = holder or {}
        if not _is_free(newest, holder, beside):
            return None, holder
    mine = folder / f"publishing-{number + 1}.json"
    try:
        link_exclusive(beside, mine)
    except FileExistsError:
        return None, None
    # Who slept since it looked makes one that was here before, or that others have gone beyond.
    if _newest(folder) != mine:
        mine.unlink(missing_ok=True)
        return None, None
    for path in _files(folder):
        if _number(path) <= number:
            path.unlink(missing_ok=True)
    return mine, None


def _is_free(path: StoragePath, holder: dict[str, Any], beside: StoragePath) -> bool:
    if holder.get("released"):
        return True
    try:
        process = processes.Process(holder["machine"], holder["pid"], holder["started"])
        alive = process.is_alive()
    except KeyError:  # of another release
        alive = None
    if alive is not None:
        return not alive
    # Both times are the file system's: hosts' clocks differ.
    touch(beside)
    try:
        return beside.stat().st_mtime - path.stat().st_mtime > LIMIT_SECONDS
    except FileNotFoundError:
        return False


def _beat(path: StoragePath, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):
            touch(path)


def _files(folder: StoragePath) -> list[StoragePath]:
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _newest(folder: StoragePath) -> StoragePath | None:
    return max(_files(folder), key=_number, default=None)


def _number(path: StoragePath) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _described(holder: dict[str, Any]) -> str:
    unknown = "unknown"
    return (
        f"{holder.get('holder', unknown)} (host {holder.get('host', unknown)}, "
        f"pid {holder.get('pid', unknown)}, since {holder.get('since', unknown)})"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
