"""S3Proxy, an object store with S3's protocol, in a process of its own.

Of what package registries give it is the most real: Apache jclouds behind Jetty. Unlike moto it
checks signatures, streams bodies and reads what the AWS SDK's clients send chunk by chunk. It keeps
its objects in memory. What it can't do: conditional writes are not atomic in it (two that come at
the same moment can both succeed), and it has no bucket policies; for the first the tests take moto,
for the second a proxy in front.

It is fetched by pipeline.spark.jars, without most of what it needs for other clouds.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from pipeline.spark import jars as ivy

KEY_ID, SECRET = "local-identity", "local-credential"

_ARTIFACTS = (
    "org.gaul:s3proxy:3.1.0",
    "aopalliance:aopalliance:1.0",
    "args4j:args4j:2.37",
    "ch.qos.logback:logback-classic:1.5.32",
    "ch.qos.logback:logback-core:1.5.32",
    "com.fasterxml.jackson.core:jackson-annotations:2.21",
    "com.fasterxml.jackson.core:jackson-core:2.21.2",
    "com.fasterxml.jackson.core:jackson-databind:2.21.2",
    "com.fasterxml.jackson.dataformat:jackson-dataformat-xml:2.21.2",
    "com.fasterxml.woodstox:woodstox-core:7.0.0",
    "com.google.code.gson:gson:2.12.1",
    "com.google.guava:failureaccess:1.0.3",
    "com.google.guava:guava:33.5.0-jre",
    "com.google.inject.extensions:guice-assistedinject:7.0.0",
    "com.google.inject:guice:7.0.0",
    "jakarta.annotation:jakarta.annotation-api:2.0.0",
    "jakarta.inject:jakarta.inject-api:2.0.1",
    "jakarta.servlet:jakarta.servlet-api:6.0.0",
    "jakarta.xml.bind:jakarta.xml.bind-api:4.0.2",
    "org.apache.jclouds.api:oauth:2.7.0",
    "org.apache.jclouds.api:openstack-keystone:2.7.0",
    "org.apache.jclouds.api:openstack-swift:2.7.0",
    "org.apache.jclouds.api:s3:2.7.0",
    "org.apache.jclouds.api:sts:2.7.0",
    "org.apache.jclouds.driver:jclouds-slf4j:2.7.0",
    "org.apache.jclouds.provider:aws-s3:2.7.0",
    "org.apache.jclouds.provider:azureblob:2.7.0",
    "org.apache.jclouds:jclouds-blobstore:2.7.0",
    "org.apache.jclouds:jclouds-core:2.7.0",
    "org.codehaus.woodstox:stax2-api:4.2.2",
    "org.slf4j:slf4j-api:2.0.17",
)


def fetch(folder: Path) -> None:
    """Bring the jars into a folder.

    Raises:
        StageError: with Ivy's own words.
    """
    ivy.fetch(_ARTIFACTS, folder, transitive=False)


def client(url: str) -> Any:
    """A plain boto3 client with keys of its own: the default session keeps those it had first."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )


@contextmanager
def serving(jars: Path, folder: Path) -> Iterator[str]:
    """The URL of a server with no bucket yet.

    Args:
        jars: the folder that `fetch` has filled.
        folder: for the server's settings and its log.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    properties = {
        "s3proxy.endpoint": url,
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": KEY_ID,
        "s3proxy.credential": SECRET,
        # Headers of newer clients that it has no use for.
        "s3proxy.ignore-unknown-headers": "true",
        "jclouds.provider": "transient",
    }
    settings = folder / "s3proxy.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    quiet = folder / "logback.xml"
    quiet.write_text(
        '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder>'
        "<pattern>%m%n%ex</pattern></encoder></appender>"
        '<root level="warn"><appender-ref ref="out"/></root></configuration>'
    )
    command = [
        *[_java(), "-Xmx1g", f"-Dlogback.configurationFile={quiet}", "-cp", str(jars / "*")],
        *["org.gaul.s3proxy.Main", "--properties", str(settings)],
    ]
    with (folder / "s3proxy.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        try:
            urlopen(url, timeout=5).close()  # noqa: S310
        except HTTPError:
            return  # it wants a signature
        except OSError:
            assert server.poll() is None, "S3Proxy ended, see s3proxy.log"
            time.sleep(0.1)
    raise TimeoutError(url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java") or "java"
