"""Processes: who made a file, and whether that process still lives.

Names of what is unfinished end in the mark of the process that is at it, so that the next run can
tell what a dead one has left behind from what another is writing.
"""

import hashlib
import os
import platform
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MARK = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}$")
_DEAD_STATES = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        machine: 8 hexadecimal digits of its host, that host's start and its process namespace:
            within one of them a pid says something.
        pid: its number.
        started: when, in clock ticks since the host's start; 0 where the system does not say.
    """

    machine: str
    pid: int
    started: int

    def alive(self) -> bool | None:
        """Whether it lives; None where only its own machine could say."""
        if self.machine != _machine():
            return None
        if self.started:
            return _started(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def current_process() -> Process:
    """This process."""
    pid = os.getpid()
    return Process(_machine(), pid, _started(pid) or 0)


def owner_tag() -> str:
    """The end of a name that nobody else uses, and that tells whose it is."""
    mine = current_process()
    return f"{mine.machine}-{mine.pid}-{mine.started}-{uuid.uuid4().hex[:8]}"


def owner(name: str) -> Process | None:
    """The process whose mark a name ends in."""
    found = _MARK.search(name)
    return Process(found[1], int(found[2]), int(found[3])) if found else None


@cache
def _machine() -> str:
    parts = [platform.node()]
    # Containers share their hosts' names, and hosts that were started again their own.
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """When a process started, see proc(5); None if there is none that lives."""
    try:
        # The name stands in brackets and may hold anything, brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD_STATES else int(fields[19])
