"""An S3 server in a process of its own, and a proxy in front of it that breaks on demand."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from models.s3 import S3Options

SECRET = "not-to-be-seen-in-a-handle"  # noqa: S105
BUCKET = "models"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3 server that speaks HTTP from another process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/moto-api/", timeout=5).close()  # noqa: S310
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)


class Proxy(ThreadingHTTPServer):
    """Passes everything on to the S3 server but what `faults` says.

    Attributes:
        faults: one for each coming GET of an object: "503", "cut" (half the body), "flip" (one
            byte is another), "hang" (half the body, then nothing).
        gets: paths of the GETs of objects so far.
        hanging: set once a request hangs.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.removeprefix("http://")
        self.faults: list[str] = []
        self.gets: list[str] = []
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        fault = ""
        if self.command == "GET" and answer.status in (200, 206) and "list-type" not in self.path:
            self.server.gets.append(self.path)
            fault = self.server.faults.pop(0) if self.server.faults else ""
        self._answer(answer, data, fault)

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, fault: str) -> None:
        if fault == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.end_headers()
        if fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if fault in ("cut", "hang") else data)
        if fault in ("cut", "hang"):
            self.close_connection = True
        if fault == "hang":
            self.wfile.flush()
            self.server.hanging.set()
            self.server.released.wait(60)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of the S3 server, with credentials in the environment and a bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server = Proxy(s3_server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    client(server.url).create_bucket(Bucket=BUCKET)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def options(proxy: Proxy) -> S3Options:
    """How to reach the S3 server through the proxy."""
    return S3Options(endpoint=proxy.url, region="us-east-1")


def client(url: str) -> Any:
    """A plain boto3 client: the second reader and writer of what the code under test does."""
    import boto3

    return boto3.client("s3", endpoint_url=url, region_name="us-east-1")


@pytest.fixture
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This host's cache, in a folder of the test's own.

    Not removed with the test: what a local session has added from there, each later task of that
    session looks for.
    """
    root = tmp_path / "cache of ホスト"
    monkeypatch.setenv("NITAMONO_CACHE", str(root))
    return root


def entries(root: Path) -> list[str]:
    """The names of a cache's entries."""
    return sorted(path.name for path in (root / "entries").iterdir())


def leftovers(root: Path) -> list[str]:
    """The names of what is being fetched into a cache, or was left half."""
    return sorted(path.name for path in (root / "incoming").iterdir())
