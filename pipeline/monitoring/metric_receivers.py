"""The receivers of metrics: a file for Prometheus, its Pushgateway, statsd."""

import re
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from pipeline.config.sections import MetricsSection
from pipeline.config.sections.watching import host_and_port
from pipeline.monitoring.delivery import Deadline, Delivery, DeliveryError, from_environment, post
from pipeline.monitoring.metrics import Sample, prometheus_text
from pipeline.storage.files import write_atomic

_JOB = "nitamono"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# What fits into one Ethernet frame, as statsd's own documentation advises.
_MAX_DATAGRAM = 1432
_UNSAFE = re.compile(r"[^\w-]")


def deliveries(section: MetricsSection, values: list[Sample]) -> Iterator[Delivery]:
    """The deliveries of a run's metrics to all receivers of the config."""
    text = prometheus_text(values, section.labels).encode()
    if section.textfile:
        file = Path(section.textfile)
        yield Delivery(f"metrics to {file}", lambda _: write_textfile(file, text))
    if section.pushgateway:
        plain = prometheus_text(values, {}).encode()
        yield Delivery(
            "metrics to the Pushgateway", lambda deadline: _push(section, plain, deadline)
        )
    if section.statsd:
        yield Delivery("metrics to statsd", lambda _: send_statsd(section, values))


def write_textfile(file: Path, text: bytes) -> None:
    """Write the file so that the collector reads the old one or the new one, never a part.

    Raises:
        DeliveryError: its folder is missing.
    """
    if not file.parent.is_dir():
        raise DeliveryError(f"there is no folder {file.parent}")
    write_atomic(file, text)


def _push(section: MetricsSection, text: bytes, deadline: Deadline) -> None:
    # POST replaces the metrics that are there by name: what a failed run did not come to stays.
    headers = {"Content-Type": _CONTENT_TYPE}
    if section.authorization_env:
        headers["Authorization"] = from_environment(section.authorization_env)
    post(group_address(section.pushgateway, section.labels), text, headers, deadline)


def group_address(gateway: str, labels: Mapping[str, str]) -> str:
    """The address of the group of metrics that a Pushgateway keeps under these labels."""
    parts = [gateway.rstrip("/"), "metrics", "job", _JOB]
    for name, value in sorted(labels.items()):
        if "/" in value:
            parts += [f"{name}@base64", urlsafe_b64encode(value.encode()).decode()]
        else:
            parts += [name, quote(value, safe="")]
    return "/".join(parts)


def send_statsd(section: MetricsSection, values: Iterable[Sample]) -> None:
    """Send gauges by UDP, several in a datagram; nobody says whether they arrived."""
    host, port = host_and_port(section.statsd)
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM
    )
    with socket.socket(family, kind, protocol) as sender:
        for datagram in _datagrams(statsd_lines(values, section.statsd_prefix)):
            sender.sendto(datagram, address)


def statsd_lines(values: Iterable[Sample], prefix: str) -> Iterator[str]:
    """A line for each metric; labels become the last parts of its name."""
    for sample in values:
        name = sample.name.removeprefix("nitamono_")
        parts = [prefix, name, *(_UNSAFE.sub("_", text) for text in sample.labels.values())]
        yield f"{'.'.join(parts)}:{sample.value}|g"


def _datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    datagram = b""
    for line in lines:
        encoded = line.encode()
        if datagram and len(datagram) + 1 + len(encoded) > _MAX_DATAGRAM:
            yield datagram
            datagram = b""
        datagram += (b"\n" if datagram else b"") + encoded
    if datagram:
        yield datagram
