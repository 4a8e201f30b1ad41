"""Folders that all pytest workers of one run share: the first that needs one makes it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def folder(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """A folder that is filled once in a test run, however many workers the run has.

    Args:
        factory: pytest's tmp_path_factory.
        name: the folder's name, one for each purpose.
        fill: fills the empty folder; the other workers wait for it. If it fails, the next worker
            tries again with an empty folder.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    done = root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            path = root / name
            attempt = 1
            while path.exists():
                attempt += 1
                path = root / f"{name}-{attempt}"
            path.mkdir()
            fill(path)
            done.write_text(str(path), encoding="utf-8")
    return Path(done.read_text(encoding="utf-8"))
