"""Locks between the processes of one host: flock on files that are removed with the lock."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, *, wait: bool = True, keep: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a file.

    Args:
        path: the lock file; it is created if it does not exist.
        wait: whether to wait while another process holds the lock.
        keep: whether the file stays afterwards, because its content matters.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    file = acquire(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    try:
        yield
    finally:
        if not keep:
            path.unlink(missing_ok=True)
        os.close(file)


def acquire(path: Path, operation: int) -> int:
    """Open a lock file and lock it.

    Args:
        path: the lock file; it is created if it does not exist.
        operation: the flags of fcntl.flock.

    Returns:
        The file descriptor. The lock ends when it is closed or when the process ends.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, operation)
            if is_same(file, path):
                return file
        except OSError:
            os.close(file)
            raise
        # The file was removed while this process waited: later processes don't see this lock.
        os.close(file)


def is_same(file: int, path: Path) -> bool:
    """Whether an open file is still the one under this path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
