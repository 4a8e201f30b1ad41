"""Connections to a redis server, what the server must be like, and errors with advice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis import exceptions as errors

from pipeline.errors import StageError, UsageError
from pipeline.export.address import RERUN, Address

_USER, PASSWORD = "REDIS_USERNAME", "REDIS_PASSWORD"
# Limit for one command: a server that is saving to disk stalls.
TIMEOUT_SECONDS = 60.0


def connect(address: Address) -> Redis:
    """A client; user and password come from the environment if the address has none.

    Raises:
        UsageError: the address has options that the client does not know.
    """
    environment = {"username": os.environ.get(_USER), "password": os.environ.get(PASSWORD)}
    keep_alive: dict[str, Any] = {} if address.is_unix_socket else {"socket_keepalive": True}
    try:
        return Redis.from_url(
            address.url,
            socket_timeout=TIMEOUT_SECONDS,
            health_check_interval=30,
            client_name="nitamono-export",
            **keep_alive,
            **{name: value for name, value in environment.items() if value},
        )
    except (ValueError, TypeError):
        # The client's message would repeat the address.
        raise UsageError(f"--to {address.label}: redis' client can't read this address") from None


@contextmanager
def server_errors(address: Address) -> Iterator[None]:
    """Replace the client's errors by an error of nitamono, without passwords.

    Raises:
        StageError: the server failed; the message says what to do.
    """
    try:
        yield
    except errors.RedisError as error:
        raise address.failure(str(error), _advice(error)) from None


def _advice(error: errors.RedisError) -> str:
    text = str(error)
    if isinstance(error, errors.AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return f"set {PASSWORD}, and {_USER} where there are users"
    if isinstance(error, errors.OutOfMemoryError) or text.startswith("OOM"):
        return f"raise maxmemory, two versions are held at a time, and {RERUN}"
    if isinstance(error, errors.ReadOnlyError):
        return "name the primary, not a replica"
    if isinstance(error, errors.NoPermissionError):
        return (
            "the user must be allowed the keys of the prefix, INFO, SCAN, EVALSHA and SCRIPT LOAD"
        )
    return RERUN


def check_server(client: Redis, address: Address) -> None:
    """Check that the server is a single one, and that it evicts no keys.

    Raises:
        UsageError: it is part of a cluster.
        StageError: it would evict lists.
    """
    info: dict[str, Any] = client.info()
    if info.get("redis_mode") == "cluster":
        raise UsageError(
            f"--to {address.label}: a redis cluster is not supported; name a single server"
        )
    policy = str(info.get("maxmemory_policy", ""))
    if info.get("maxmemory") and policy.startswith("allkeys"):
        raise StageError(
            f"export to {address.label}: its maxmemory-policy {policy} removes lists without a "
            "word when memory runs out; set noeviction, or one of volatile-*"
        )
