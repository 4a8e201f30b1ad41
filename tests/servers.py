"""Servers for tests, real ones: PostgreSQL and redis, in temporary folders, stopped afterwards.

PostgreSQL does not run as root: there it runs as a user without rights. scripts/test_servers.sh
installs what is missing; tests/requirements.py says what happens where that fails.
"""

import os
import pwd
import shutil
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
_SECONDS = 60.0
_HOW = "run scripts/test_servers.sh as root"


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        folder: of its unix socket.
        pid: of its first process.
        log: what it wrote.
    """

    port: int
    folder: Path
    pid: int
    log: Path


def postgres_binary(name: str) -> str:
    """A program of PostgreSQL's; the test is skipped where there is none."""
    if found := shutil.which(name):
        return found
    versions = _DEBIAN.glob(f"[0-9]*/bin/{name}")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None:
        missing(f"PostgreSQL is not installed (no {name})", _HOW)
    return str(newest)


def redis_binary() -> str:
    """redis-server, or valkey-server; the test is skipped where there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        missing("redis is not installed (no redis-server)", _HOW)
    return found


@contextmanager
def postgres(password: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A PostgreSQL whose superuser `postgres` has this password; without it nobody gets in."""
    initdb, binary = postgres_binary("initdb"), postgres_binary("postgres")
    # Paths of sockets are short.
    folder = Path(tempfile.mkdtemp(prefix="nitamono-pg-", dir="/tmp"))
    secret = folder / "secret"
    secret.write_text(password)
    user = _unprivileged()
    if user:
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    data, port = folder / "data", _free_port()
    try:
        made = _run(
            user, folder,
            initdb, "-D", str(data), "-U", "postgres", "-A", "scram-sha-256",
            f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        assert made.wait() == 0, (folder / "log").read_text()
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "shared_buffers": "64MB",
            **(settings or {}),
        }
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        process = _run(user, folder, binary, "-D", str(data), *options)
        try:
            _ready(process, folder / "log")
            yield Server(port, folder, process.pid, folder / "log")
        finally:
            # A fast shutdown; postgres passes it on to its own.
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis(*options: str, folder: Path | None = None) -> Iterator[Server]:
    """A redis that keeps nothing, unless its options (--NAME, VALUE) say so."""
    binary = redis_binary()
    own = folder or Path(tempfile.mkdtemp(prefix="nitamono-redis-"))
    port = _free_port()
    process = _run(
        None, own,
        binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(own),
        "--unixsocket", str(own / "socket"), "--save", "", *options,
    )  # fmt: skip
    try:
        _ready(process, own / "log")
        yield Server(port, own, process.pid, own / "log")
    finally:
        _stop(process)
        if folder is None:
            shutil.rmtree(own, ignore_errors=True)


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
    """Wait until the log says, of either, that it takes connections."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        said = log.read_text(errors="replace")
        assert process.poll() is None, said
        if "eady to accept connections" in said:
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(2)
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
        # A redis of a cluster takes the one 10,000 higher too.
        if port < 55_000:
            return port
