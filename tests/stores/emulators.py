"""Azurite and fake-gcs-server: object stores with the protocols of Azure and Google Cloud.

scripts/test_object_stores.sh installs them where npm and go are there. Both keep their objects in
memory.

- Azurite (Microsoft's own, from npm) checks signatures. It has no hierarchical namespace and no DFS
  endpoint: an account in it is one of the flat kind.
- fake-gcs-server has Google's JSON API, which Arrow and Spark's connector speak, with conditions on
  generations. Of the XML API, which obstore speaks, tests.stores.gcs_xml adds what it lacks. It
  checks no credentials.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

from tests.requirements import missing
from tests.stores import gcs_xml

FOLDER = Path(
    os.environ.get("NITAMONO_TEST_SERVERS") or Path.home() / ".cache" / "nitamono-test-servers"
)
AZURITE = FOLDER / "node_modules" / ".bin" / "azurite-blob"
FAKE_GCS = FOLDER / "bin" / "fake-gcs-server"
# Azurite's own account, see its README.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ROOT = Path(__file__).parents[2]
_REMEDY = "run scripts/test_object_stores.sh, which needs {}"


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """The URL of an Azurite without containers; its log is in the folder."""
    if not AZURITE.is_file():
        missing(f"Azurite is not installed ({AZURITE})", _REMEDY.format("npm"))
    port = _free_port()
    command = [
        *(str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"),
        # Clients are newer than it is.
        *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"),
    ]
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder / "azurite.log", port):
        yield url


@contextmanager
def fake_gcs(folder: Path) -> Iterator[str]:
    """The URL of a fake-gcs-server without buckets, with both of Google's APIs."""
    if not FAKE_GCS.is_file():
        missing(f"fake-gcs-server is not installed ({FAKE_GCS})", _REMEDY.format("go"))
    port = _free_port()
    command = [
        *(str(FAKE_GCS), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-public-host", f"127.0.0.1:{port}", "-backend", "memory", "-log-level", "error"),
    ]
    xml_port = _free_port()
    xml_command = [sys.executable, "-m", gcs_xml.__name__, f"127.0.0.1:{port}", str(xml_port)]
    with (
        _running(command, folder / "fake-gcs-server.log", port),
        _running(xml_command, folder / "gcs-xml.log", xml_port),
    ):
        yield f"http://127.0.0.1:{xml_port}"


def make_container(url: str, name: str) -> None:
    """Make a container of Azurite's account."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2023-11-03", "Content-Length": "0"}
    signed = (
        "PUT" + "\n" * 12 + f"x-ms-date:{now}\nx-ms-version:2023-11-03\n"
        f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    )
    digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    request = Request(  # noqa: S310
        f"{url}/{ACCOUNT}/{name}?restype=container", method="PUT", headers=headers
    )
    urlopen(request, timeout=30).close()  # noqa: S310


def make_bucket(url: str, name: str) -> None:
    """Make a bucket of fake-gcs-server's."""
    request = Request(  # noqa: S310
        f"{url}/storage/v1/b?project=test",
        method="POST",
        headers={"Content-Type": "application/json"},
        data=json.dumps({"name": name}).encode(),
    )
    urlopen(request, timeout=30).close()  # noqa: S310


@contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd=ROOT
        )
    try:
        for _ in range(300):
            assert server.poll() is None, log.read_text(errors="replace")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
