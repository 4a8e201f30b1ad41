"""The host cache: one copy of each model on a host, however many processes use it.

Folders below the root:
    entries/   models named by their content, complete and read-only
    incoming/  files that are being fetched or removed; those of a killed process are removed later
    locks/     <name>.use is shared by the processes that use an entry; its time is the last use
               <name>.make is locked by the one process that fetches the entry
               <sha256>-<stamp>.checked marks a path outside the cache that has that content

All locks are flock: the kernel releases them when the process ends, however it ends.
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
_MARK_SECONDS = 30 * 86_400

# Descriptors of the shared locks, open until the process ends: it may have mapped the entries.
_use_locks: dict[Path, int] = {}
_guard = threading.Lock()


class Cache:
    """A folder of models named by their content.

    Attributes:
        root: the folder.
        limit: size of the cache in bytes. Beyond it the least recently used entries are removed,
            but none that a process uses: the limit never refuses a model.
    """

    def __init__(self, root: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.root = root
        self.limit = limit
        self._entries, self._incoming, self._locks = (
            root / name for name in ("entries", "incoming", "locks")
        )

    @classmethod
    def for_this_host(cls) -> "Cache":
        """Return the cache that the processes of this host share.

        Its folder is NITAMONO_CACHE, by default nitamono-<user id> in the system's folder for
        temporary files, closed to other users. Its limit is NITAMONO_CACHE_LIMIT (bytes; K, M, G
        and T are powers of 1000), by default 50 GB or half of the disk, whichever is less.

        Raises:
            ModelError: the folder can't be used, or the limit is not a number.
        """
        setting = os.environ.get(FOLDER_VARIABLE)
        default = Path(tempfile.gettempdir(), f"nitamono-{os.getuid()}")
        root = Path(setting or default).absolute()
        with _explained(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not setting:
                _make_private(root)
            limit = _limit(root)
        return cls(root, limit)

    def get_or_fetch(
        self, name: str, size: int, fetch: Callable[[Path], None], check: Callable[[Path], None]
    ) -> Path:
        """Return an entry's path. The first process fetches the entry while the others wait.

        The entry stays in the cache at least until this process ends.

        Args:
            name: name of the entry, which contains its content's hash.
            size: size of the entry, in bytes.
            fetch: writes the file or directory to the path that it receives.
            check: raises an error if that file or directory is wrong.

        Raises:
            ModelError: the cache can't be written, or its disk is full. Errors of `fetch` and
                `check` are raised too. In each case nothing of the entry is left.
        """
        entry = self._entries / name
        with _explained(self.root):
            for folder in (self._entries, self._incoming, self._locks):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._use(name)
            if not _is_complete(entry, size):
                with exclusive(self._locks / f"{name}.make"):
                    if not _is_complete(entry, size):
                        self._remove_leftovers(name)
                        self._make_room(size)
                        self._make(entry, fetch, check)
        return entry

    def find(self, name: str) -> Path | None:
        """Return an entry's path, or None if the cache does not have it."""
        entry = self._entries / name
        return entry if entry.exists() else None

    def check_once(self, path: Path, expected: Content) -> None:
        """Check the content of a path outside the cache. One process of the host reads it.

        Raises:
            ModelError: the path has another content, or can't be read.
        """
        try:
            stamp = disk.stamp(path)
        except OSError as error:
            raise ModelError(f"{path}: can't be read on this host: {error}") from error
        with _explained(self.root):
            self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark = self._locks / f"{expected.sha256}-{stamp}.checked"
            with exclusive(mark, keep=True):
                if mark.stat().st_size == 0:
                    check(path, expected, str(path))
                    mark.write_text("whole")
                    self._remove_old_marks()
                else:
                    os.utime(mark)

    def _use(self, name: str) -> None:
        """Hold the shared lock of an entry until the process ends."""
        path = self._locks / f"{name}.use"
        with _guard:
            file = _use_locks.get(path)
            if file is None or not is_same(file, path):
                file = _use_locks[path] = acquire(path, fcntl.LOCK_SH)
        os.utime(file)

    def _make(
        self, entry: Path, fetch: Callable[[Path], None], check: Callable[[Path], None]
    ) -> None:
        fresh = self._incoming_path(entry.name)
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
        """Remove leftovers of killed processes: of the entry `own`, locked here, and of others."""
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
        """Remove the least recently used entries until there is room for `size` bytes."""
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
                removed = self._discard(entry)
        except BlockingIOError:
            return False
        disk.remove(removed)
        return True

    def _discard(self, entry: Path) -> Path:
        """Rename an entry away in one step; processes that have mapped it keep their maps."""
        target = self._incoming_path(entry.name)
        if entry.exists():
            entry.rename(target)
        return target

    def _incoming_path(self, name: str) -> Path:
        return self._incoming / f"{name}~{os.getpid()}-{uuid.uuid4().hex}"

    def _remove_old_marks(self) -> None:
        oldest = time.time() - _MARK_SECONDS
        for mark in self._locks.glob("*.checked"):
            with suppress(FileNotFoundError):
                if mark.stat().st_mtime < oldest:
                    mark.unlink()


def _limit(root: Path) -> int:
    setting = os.environ.get(LIMIT_VARIABLE)
    if not setting:
        return min(DEFAULT_LIMIT, shutil.disk_usage(root).total // 2)
    match = re.fullmatch(r"(\d+) ?([KMGT]?)B?", setting.strip().upper())
    if not match:
        raise ModelError(
            f"{LIMIT_VARIABLE}={setting}: not a size; write a number of bytes, or 20G for instance"
        )
    return int(match[1]) * _UNITS[match[2]]


def _make_private(root: Path) -> None:
    """Close the folder to other users; refuse one that another user made under its name."""
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ModelError(
            f"{root}: belongs to another user; set {FOLDER_VARIABLE} to a folder of your own"
        )
    if stat.S_IMODE(status.st_mode) != 0o700:
        root.chmod(0o700)


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = f"the disk is full ({error.strerror}); free some"
        else:
            reason = f"the cache of models can't be used: {error}; make it writable"
        raise ModelError(f"{root}: {reason}, or set {FOLDER_VARIABLE} to another folder") from error


def _is_complete(entry: Path, size: int) -> bool:
    """Whether an entry has all its bytes: a cleaner of temporary files may have removed some."""
    return entry.exists() and disk.size(entry) >= size
