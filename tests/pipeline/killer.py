"""A process that is killed at a change of the store that it makes, and waiting for it."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Of the removal of what dead runs left, once is enough of each kind.
CLEANING = r"unlink (stages|tables|runs|quantisers|models/c)|unlink (locks/\.(\.|p.*json)|\.store)"
CLEANING += r"|rmtree tables/(?!items)"
# Of a stage that writes several tables the last is enough: those before it are whole then, and the
# stage is not recorded. tokenize is killed at each of its tables, as the example of the others.
FORMER = r"rename tables/(items|arrivals|departures|neighbors|reach)/version=HASH$"
# What follows most changes is what precedes the next.
AFTER = re.compile(r"similar_items/LATEST|locks/publishing-")


class Killer:
    """Kills its process at a change of the store.

    Attributes:
        root: the store.
        seen: the changes that runs were killed at before.
        skip: those of them that are left alone.
        note: the file that gets this one.
    """

    def __init__(self, root: Path, seen: set[str], skip: str, note: Path) -> None:
        self.root, self.seen, self.skip, self.note = root, seen, skip, note

    def arm(self) -> None:
        """From now on every change may be the last."""
        for module, name, moves in (
            (os, "rename", True),
            (os, "replace", True),
            (os, "link", True),
            (os, "unlink", False),
            (shutil, "rmtree", False),
        ):
            setattr(module, name, self._deadly(name, getattr(module, name), moves=moves))

    def _deadly(self, name: str, change: Callable[..., Any], *, moves: bool) -> Callable[..., Any]:
        def changed(*paths: Any, **options: Any) -> Any:
            place = self._place(Path(paths[-1 if moves else 0]))
            if place is None or not (moves or Path(paths[0]).exists()):
                return change(*paths, **options)
            self._perhaps(f"{name} {place}", Path(paths[0]) if moves else None)
            done = change(*paths, **options)
            if AFTER.search(place):
                self._perhaps(f"{name} {place}, done", None)
            return done

        return changed

    def _place(self, path: Path) -> str | None:
        """What is changed, without what differs from run to run; None outside the store."""
        if not path.is_relative_to(self.root):
            return None
        text = path.relative_to(self.root).as_posix()
        text = re.sub(r"[0-9a-f]{8}-\d+-\d+-[0-9a-f]{8}", "MARK", text)
        text = re.sub(r"[0-9a-f]{16}", "HASH", re.sub(r"^runs/[^/]+", "runs/RUN", text))
        return re.sub(r"(publishing-|publications/)\d+", r"\1N", text)

    def _perhaps(self, site: str, halved: Path | None) -> None:
        if site in self.seen:
            return
        if re.search(f"{self.skip}|{CLEANING}|{FORMER}", site):
            return
        if halved is not None:
            _halve(halved)
        self.note.write_text(site)
        os.kill(os.getpid(), signal.SIGKILL)


def _halve(path: Path) -> None:
    """Leave of a file or a folder what a write that was broken off leaves."""
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file())[::2]:
            os.truncate(file, file.stat().st_size // 2)
    else:
        os.truncate(path, path.stat().st_size // 2)


def wait(pid: int) -> int:
    """The exit code of a process; of a killed one the signal, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
