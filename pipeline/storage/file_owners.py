"""Processes: which one owns an unfinished file, and whether it is alive.

Names of unfinished files and folders end in the tag of the process that writes them. So the next
run can tell what a dead process has left behind from what a live one is writing.
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

_TAG = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}$")
_DEAD_STATES = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        machine: 8 hexadecimal digits of the host, of its boot and of the process namespace: pids
            can be compared within one machine only.
        pid: process id.
        started: its start, in clock ticks since the host's boot; 0 where the system does not tell.
    """

    machine: str
    pid: int
    started: int

    def is_alive(self) -> bool | None:
        """Whether it is alive; None if it is of another machine, which can't be asked."""
        if self.machine != _machine():
            return None
        if self.started:
            return _start_ticks(self.pid) == self.started
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
    return Process(_machine(), pid, _start_ticks(pid) or 0)


def owner_tag() -> str:
    """A unique suffix for the name of an unfinished file; `owner` reads this process from it."""
    process = current_process()
    return f"{process.machine}-{process.pid}-{process.started}-{uuid.uuid4().hex[:8]}"


def owner(name: str) -> Process | None:
    """The process whose tag a name ends in; None if it ends in no tag."""
    tag = _TAG.search(name)
    return Process(tag[1], int(tag[2]), int(tag[3])) if tag else None


@cache
def _machine() -> str:
    parts = [platform.node()]
    # Containers can share a host's name, and a host keeps its name over a reboot.
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _start_ticks(pid: int) -> int | None:
    """A process's start in clock ticks since boot, see proc(5); None if it is not alive."""
    try:
        # The second field is the command's name in brackets, which may itself hold brackets.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD_STATES else int(fields[19])
