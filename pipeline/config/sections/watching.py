"""The sections of who is told of a run: [notify], [metrics] and [lineage]."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline import redaction
from pipeline.config.sections.base import Section

NoticeKind = Literal["failed", "held_back", "published", "slow"]
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Labels that nitamono's own metrics and the Pushgateway use.
_OWN_LABELS = {"stage", "variant", "bound", "table", "job", "version"}


def check_url(url: str) -> str:
    """The address of a receiver, as it is.

    Raises:
        ValueError: it is no address of http or https.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("it is no address of a server; write http://HOST or https://HOST")
    if redaction.holds_secret("", url):
        raise ValueError("it holds a secret; leave it out, and set authorization_env")
    return url


def _check_variable(name: str) -> str:
    if name and not _VARIABLE.fullmatch(name):
        raise ValueError("it is no name of an environment variable; write letters, digits and _")
    if name.startswith("NITAMONO_"):
        raise ValueError("variables of this beginning override settings; name another one")
    return name


def _check_optional_url(url: str) -> str:
    return check_url(url) if url else url


_Variable = Annotated[str, AfterValidator(_check_variable)]
_Url = Annotated[str, AfterValidator(_check_optional_url)]


class NotifySection(Section):
    """A receiver of notices; this section may come several times."""

    on: list[NoticeKind] = Field(
        min_length=1,
        description="what is told: that a run failed, was held back by the gate, published, or "
        "takes much longer than usual",
    )
    url_env: _Variable = Field(
        "",
        description="the environment variable with the address of a webhook, which is a secret; "
        "it gets JSON",
    )
    command: list[str] = Field(
        default_factory=list,
        description="or a program and its arguments; it gets the same JSON on its standard input",
    )
    slow_factor: float = Field(
        2.0,
        gt=1,
        description="a run is slow once it takes so many times the median of the ten runs "
        "published last",
    )

    @field_validator("command")
    @classmethod
    def _holds_no_secret(cls, value: list[str]) -> list[str]:
        if redaction.command_holds_secret(value):
            raise ValueError("it holds a secret; let the program read it from its environment")
        return value

    @model_validator(mode="after")
    def _has_one_receiver(self) -> Self:
        if bool(self.url_env) == bool(self.command):
            raise ValueError("give either url_env, the name of an environment variable, or command")
        return self


class MetricsSection(Section):
    """Where the metrics of runs go."""

    textfile: str = Field(
        "",
        description="a file NAME.prom for the textfile collector of Prometheus' node_exporter; "
        "its folder must exist",
    )
    pushgateway: _Url = Field("", description="address of a Pushgateway of Prometheus")
    authorization_env: _Variable = Field(
        "",
        description="environment variable with the value of the header Authorization for the "
        "Pushgateway",
    )
    statsd: str = Field("", description="HOST:PORT of a statsd server; it gets UDP")
    statsd_prefix: str = Field(
        "nitamono", pattern=r"^[\w.-]+$", description="first part of the names in statsd"
    )
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="labels that every metric of Prometheus gets, to tell shops apart",
    )

    @field_validator("textfile")
    @classmethod
    def _is_prom_file(cls, value: str) -> str:
        if value and ("://" in value or not value.endswith(".prom")):
            raise ValueError("the collector reads files of this host whose names end in .prom")
        return value

    @field_validator("statsd")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        if value:
            host_and_port(value)
        return value

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _LABEL.fullmatch(name) or name.startswith("__") or name in _OWN_LABELS:
                raise ValueError(
                    f"{name} can't be a label: write letters, digits and _, and none of "
                    f"{', '.join(sorted(_OWN_LABELS))}"
                )
            if not text:
                raise ValueError(f"label {name} is empty; give it a value or leave it out")
        return value


class LineageSection(Section):
    """Where OpenLineage events of runs go."""

    file: str = Field("", description="a file of this host; each event is added as a line of JSON")
    url: _Url = Field(
        "",
        description="the address that events are posted to, for instance "
        "http://marquez:5000/api/v1/lineage",
    )
    authorization_env: _Variable = Field(
        "",
        description="environment variable with the value of the header Authorization, for instance "
        "Bearer and a key",
    )
    namespace: str = Field(
        "nitamono", min_length=1, description="namespace of the job in OpenLineage"
    )
    job: str = Field("similar_items", min_length=1, description="name of the job in OpenLineage")

    @field_validator("file")
    @classmethod
    def _is_local(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("events are added to a file of this host; use url for a server")
        return value


def host_and_port(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [HOST]:PORT.

    Raises:
        ValueError: it is something else.
    """
    parts = urlsplit(f"//{address}")
    if not parts.hostname or not parts.port or parts.path or parts.username is not None:
        raise ValueError("write HOST:PORT")
    return parts.hostname, parts.port
