"""An S3 server in a process of its own, and a proxy in front of it that breaks on demand."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from models.stores import S3Options, StoreOptions
from tests.s3.proxy import Proxy, running

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


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of the S3 server, with credentials in the environment and a bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with running(s3_server) as server:
        client(server.url).create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def options(proxy: Proxy) -> StoreOptions:
    """How to reach the S3 server through the proxy."""
    return StoreOptions(S3Options(endpoint=proxy.url, region="us-east-1"))


def client(url: str) -> Any:
    """A plain boto3 client, which checks what the code under test reads and writes."""
    import boto3

    return boto3.client("s3", endpoint_url=url, region_name="us-east-1")


@pytest.fixture
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this host, in a folder of the test.

    It is not removed after the test, because later tasks of a local session still look for the
    files that the session has added from there.
    """
    root = tmp_path / "cache of ホスト"
    monkeypatch.setenv("NITAMONO_CACHE", str(root))
    return root


def entries(root: Path) -> list[str]:
    """The names of a cache's entries."""
    return sorted(path.name for path in (root / "entries").iterdir())


def leftovers(root: Path) -> list[str]:
    """The names of files in a cache that are being fetched, or were left incomplete."""
    return sorted(path.name for path in (root / "incoming").iterdir())
