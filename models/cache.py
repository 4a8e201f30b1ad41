"""The host cache: one copy of each model on a host, whatever the number of its processes.

Folders below the root:
    entries/   models under their content's name, whole and read-only
    incoming/  what is being fetched or removed; what a killed process left is removed later
    locks/     <name>.use, shared by the processes that use an entry; its time is the last use
               <name>.make, held by the one process that fetches it
               <sha256>-<stamp>.checked, for a path that was found to hold that content

All locks are flock: the kernel drops them with the process, however it ends.
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models import disk
from models.content import Content, check
from models.errors import ModelError
from models.locks import acquire, exclusive, is_same

FOLDER_VARIABLE = "NITAMONO_CACHE"
LIMIT_VARIABLE = "NITAMONO_CACHE_LIMIT"
DEFAULT_LIMIT = 50_000_000_000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FORGOTTEN_SECONDS = 30 * 86_400

# Held until the process ends: whoever got a path may have it mapped.
_held: dict[Path, int] = {}
_guard = threading.Lock()


class Cache:
    """A folder of models by their content.

    Attributes:
        root: the folder.
        limit: bytes that it may hold. Past it the entries that were used longest ago go, but none
            that a process uses: what is needed at one time is never refused for the limit.
    """

    def __init__(self, root: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.root = root
        self.limit = limit
        self._entries, self._incoming, self._locks = (
            root / name for name in ("entries", "incoming", "locks")
        )

    @classmethod
    def of_host(cls) -> "Cache":
        """The cache that this host's processes share.

        Its folder is NITAMONO_CACHE, else nitamono-<user id> under the system's folder for
        temporary files, closed to other users. Its limit is NITAMONO_CACHE_LIMIT (bytes; K, M, G
        and T stand for thousands of them), else 50 GB or half of the disk, whichever is less.

        Raises:
            ModelError: the folder can't be used, or the limit is no number.
        """
        given = os.environ.get(FOLDER_VARIABLE)
        root = Path(given or Path(tempfile.gettempdir(), f"nitamono-{os.getuid()}")).absolute()
        with _explained(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not given:
                _keep_private(root)
            limit = _limit(root)
        return cls(root, limit)

    def hold(
        self, name: str, size: int, fetch: Callable[[Path], None], check: Callable[[Path], None]
    ) -> Path:
        """The entry's path, fetched by the first process that asks while the others wait.

        It stays until this process ends.

        Args:
            name: of the entry; holds its content's hash.
            size: what the entry needs, in bytes.
            fetch: writes the file or directory under the path that it is given.
            check: raises what is wrong with that file or directory.

        Raises:
            ModelError: the cache can't be written or its disk is full; else what fetch and check
                raise. Nothing of the entry is left then.
        """
        entry = self._entries / name
        with _explained(self.root):
            for folder in (self._entries, self._incoming, self._locks):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._use(name)
            if not _is_whole(entry, size):
                with exclusive(self._locks / f"{name}.make"):
                    if not _is_whole(entry, size):
                        self._remove_leftovers(name)
                        self._make_room(size)
                        self._make(entry, fetch, check)
        return entry

    def find(self, name: str) -> Path | None:
        """The entry's path, if the entry is here."""
        entry = self._entries / name
        return entry if entry.exists() else None

    def check_once(self, path: Path, wanted: Content) -> None:
        """See that a path outside the cache has this content; one process of a host reads it.

        Raises:
            ModelError: it has another, or it can't be read.
        """
        try:
            stamp = disk.stamp(path)
        except OSError as error:
            raise ModelError(f"{path}: can't be read on this host: {error}") from error
        with _explained(self.root):
            self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark = self._locks / f"{wanted.sha256}-{stamp}.checked"
            with exclusive(mark, keep=True):
                if mark.stat().st_size == 0:
                    check(path, wanted, str(path))
                    mark.write_text("whole")
                    self._forget_marks()
                else:
                    os.utime(mark)

    def _use(self, name: str) -> None:
        """Share the entry's lock until the process ends."""
        path = self._locks / f"{name}.use"
        with _guard:
            file = _held.get(path)
            if file is None or not is_same(file, path):
                file = _held[path] = acquire(path, fcntl.LOCK_SH)
        os.utime(file)

    def _make(
        self, entry: Path, fetch: Callable[[Path], None], check: Callable[[Path], None]
    ) -> None:
        fresh = self._aside(entry.name)
        try:
            fetch(fresh)
            check(fresh)
            disk.seal(fresh)
            disk.remove(self._discard(entry))
            fresh.rename(entry)
            disk.sync(self._entries)
        finally:
            disk.remove(fresh)

    def _remove_leftovers(self, own: str) -> None:
        """Remove what killed processes left of this entry, whose lock is held, and of others."""
        for leftover in self._incoming.iterdir():
            name = leftover.name.partition("~")[0]
            if name == own:
                disk.remove(leftover)
                continue
            try:
                with exclusive(self._locks / f"{name}.make", wait=False):
                    disk.remove(leftover)
            except BlockingIOError:
                continue

    def _make_room(self, size: int) -> None:
        """Remove entries, those used longest ago first, until there is room for `size` bytes."""
        entries = sorted(self._entries.iterdir(), key=self._last_use)
        used = sum(map(disk.size, (*entries, *self._incoming.iterdir())))
        for entry in entries:
            if used + size <= self.limit and shutil.disk_usage(self.root).free >= size:
                return
            entry_size = disk.size(entry)
            if self._evict(entry):
                used -= entry_size
        free = shutil.disk_usage(self.root).free
        if free < size:
            raise ModelError(
                f"{self.root}: the disk is full: a model needs {size:,} bytes and {free:,} are "
                f"free; free some, or set {FOLDER_VARIABLE} to a folder on a larger disk"
            )

    def _last_use(self, entry: Path) -> float:
        try:
            return (self._locks / f"{entry.name}.use").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _evict(self, entry: Path) -> bool:
        """Remove an entry unless a process uses it."""
        try:
            with exclusive(self._locks / f"{entry.name}.use", wait=False):
                gone = self._discard(entry)
        except BlockingIOError:
            return False
        disk.remove(gone)
        return True

    def _discard(self, entry: Path) -> Path:
        """Take an entry out in one step, a directory too; who has it mapped keeps it."""
        aside = self._aside(entry.name)
        if entry.exists():
            entry.rename(aside)
        return aside

    def _aside(self, name: str) -> Path:
        return self._incoming / f"{name}~{os.getpid()}-{uuid.uuid4().hex}"

    def _forget_marks(self) -> None:
        oldest = time.time() - _FORGOTTEN_SECONDS
        for mark in self._locks.glob("*.checked"):
            with suppress(FileNotFoundError):
                if mark.stat().st_mtime < oldest:
                    mark.unlink()


def _limit(root: Path) -> int:
    given = os.environ.get(LIMIT_VARIABLE)
    if not given:
        return min(DEFAULT_LIMIT, shutil.disk_usage(root).total // 2)
    found = re.fullmatch(r"(\d+) ?([KMGT]?)B?", given.strip().upper())
    if not found:
        raise ModelError(f"{LIMIT_VARIABLE}={given}: write a number of bytes, or 20G for instance")
    return int(found[1]) * _UNITS[found[2]]


def _keep_private(root: Path) -> None:
    """Others can make folders beside ours: take none of theirs."""
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ModelError(
            f"{root}: belongs to another user; set {FOLDER_VARIABLE} to a folder of your own"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        root.chmod(0o700)


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            what = f"the disk is full ({error.strerror}); free some"
        else:
            what = f"the cache of models can't be used: {error}; make it writable"
        raise ModelError(f"{root}: {what}, or set {FOLDER_VARIABLE} to another folder") from error


def _is_whole(entry: Path, size: int) -> bool:
    """A cleaner of temporary files may have been there: at least all bytes have to be."""
    return entry.exists() and disk.size(entry) >= size
