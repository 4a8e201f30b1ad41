"""Locks between processes of one host: flock on files that may be removed with the lock."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, *, wait: bool = True, keep: bool = False) -> Iterator[None]:
    """Hold a lock file alone.

    Args:
        path: the file; made if it isn't there.
        wait: for whoever holds it.
        keep: the file afterwards, because it says something.

    Raises:
        BlockingIOError: another holds it, and `wait` is not set.
    """
    file = acquire(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    try:
        yield
    finally:
        if not keep:
            path.unlink(missing_ok=True)
        os.close(file)


def acquire(path: Path, how: int) -> int:
    """Open a lock file and lock it, with a flag of fcntl.flock.

    Returns:
        the file descriptor; closing it, or the end of the process, gives the lock back.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, how)
            if is_same(file, path):
                return file
        except OSError:
            os.close(file)
            raise
        # The file was removed while we waited: later processes don't see this lock.
        os.close(file)


def is_same(file: int, path: Path) -> bool:
    """Whether an open file is still the one under this path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
