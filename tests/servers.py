"""PostgreSQL and redis for tests: real servers in temporary folders, stopped afterwards.

PostgreSQL refuses to run as root, so a test that runs as root starts it as a user without rights.
scripts/test_servers.sh installs what is missing; tests/requirements.py says what happens without.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import missing

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0
_REMEDY = "run scripts/test_servers.sh as root"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: its port on 127.0.0.1.
        folder: folder of its unix socket.
        pid: process id of its first process.
        log: file of its log.
    """

    port: int
    folder: Path
    pid: int
    log: Path


def postgres_binary(name: str) -> str:
    """The path of a program of PostgreSQL; without it, the test is skipped."""
    if path := shutil.which(name):
        return path
    versions = _DEBIAN.glob(f"[0-9]*/bin/{name}")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None:
        missing(f"PostgreSQL is not installed (no {name})", _REMEDY)
    return str(newest)


def redis_binary() -> str:
    """The path of redis-server or valkey-server; without them, the test is skipped."""
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    if path is None:
        missing("redis is not installed (no redis-server)", _REMEDY)
    return path


@contextmanager
def postgres(password: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A PostgreSQL whose superuser `postgres` has this password; nobody connects without one."""
    initdb, binary = postgres_binary("initdb"), postgres_binary("postgres")
    # The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="nitamono-pg-", dir="/tmp"))
    password_file = folder / "secret"
    password_file.write_text(password)
    user = _unprivileged()
    if user:
        for path in (folder, password_file):
            os.chown(path, user.pw_uid, user.pw_gid)
    data, port = folder / "data", _free_port()
    try:
        initialisation = _run(
            user, folder,
            initdb, "-D", str(data), "-U", "postgres", "-A", "scram-sha-256",
            f"--pwfile={password_file}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        assert initialisation.wait() == 0, (folder / "log").read_text()
        all_settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "shared_buffers": "64MB",
            **(settings or {}),
        }
        options = [
            part for name, value in all_settings.items() for part in ("-c", f"{name}={value}")
        ]
        process = _run(user, folder, binary, "-D", str(data), *options)
        try:
            _ready(process, folder / "log")
            yield Server(port, folder, process.pid, folder / "log")
        finally:
            # SIGINT is a fast shutdown; postgres passes it on to its child processes.
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis(*options: str, folder: Path | None = None) -> Iterator[Server]:
    """A redis; it saves nothing to disk unless its options (--NAME, VALUE) say so."""
    binary = redis_binary()
    data = folder or Path(tempfile.mkdtemp(prefix="nitamono-redis-"))
    port = _free_port()
    process = _run(
        None, data,
        binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data),
        "--unixsocket", str(data / "socket"), "--save", "", *options,
    )  # fmt: skip
    try:
        _ready(process, data / "log")
        yield Server(port, data, process.pid, data / "log")
    finally:
        _stop(process)
        if folder is None:
            shutil.rmtree(data, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return missing("PostgreSQL does not run as root", "add a user named postgres or nobody")


def _run(user: pwd.struct_passwd | None, folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, user=user.pw_uid if user else None,
            group=user.pw_gid if user else None, extra_groups=[] if user else None,
        )  # fmt: skip


def _ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the log of a PostgreSQL or a redis says that it accepts connections."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text
        if "eady to accept connections" in text:
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # A redis of a cluster also uses the port that is 10,000 higher.
        if port < 55_000:
            return port
