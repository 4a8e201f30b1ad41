"""Programs that are told something: started once, given it, and ended when they take too long."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from threading import Thread
from typing import IO

from pipeline.monitoring.delivery import MAX_REPLY, Deadline, DeliveryError

_MAX_OUTPUT = 1 << 14
# A program that has ended has printed all by then.
_GRACE_SECONDS = 0.5


def call(command: Sequence[str], content: bytes, deadline: Deadline) -> None:
    """Start a program, give it something on its standard input, and wait until it ends.

    Raises:
        DeliveryError: it can't be started, ends with another exit code than 0, or is ended because
            it takes too long.
    """
    with tempfile.TemporaryFile() as given:
        # A program need not read what it is given.
        given.write(content)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the config names the program
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"{command[0]} can't be started: {error.strerror}") from error
    output = _Output(process.stdout)
    try:
        process.wait(deadline.seconds)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise DeliveryError(f"{command[0]} took too long and was ended") from error
    if process.returncode:
        line = output.last_line()
        said = f": {line[:MAX_REPLY]}" if line else ""
        raise DeliveryError(f"{command[0]} ended with exit code {process.returncode}{said}")


class _Output:
    """The end of what a program prints: read while it runs, and forgotten but for the last part."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._end = b""
        # A child that goes on after the program may keep the pipe open.
        self._reading = Thread(target=self._read, args=(stream,), daemon=True)
        self._reading.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while part := os.read(stream.fileno(), _MAX_OUTPUT):
                self._end = (self._end + part)[-_MAX_OUTPUT:]

    def last_line(self) -> str:
        """The last line with something in it; empty if there is none."""
        self._reading.join(_GRACE_SECONDS)
        lines = self._end.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
