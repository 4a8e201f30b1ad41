"""A redis server: connecting, what it must be like, its errors in words, and a lock kept in it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from platform import node
from typing import Any

from redis import Redis
from redis import exceptions as errors

from pipeline.errors import LockedError, StageError, UsageError
from pipeline.export.address import Address
from pipeline.storage import processes

AGAIN = "run it again: it goes on from the files that are done"
_USER, PASSWORD = "REDIS_USERNAME", "REDIS_PASSWORD"
# Of a command; a server that is saving to disk stalls.
_TIMEOUT_SECONDS = 60.0
LOCK_SECONDS = 60.0
_BEAT_SECONDS = LOCK_SECONDS / 4
_IF = "if redis.call('get', KEYS[1]) == ARGV[1] then return "
_KEEP = f"{_IF} redis.call('pexpire', KEYS[1], ARGV[2])"
_LEAVE = f"{_IF} redis.call('del', KEYS[1])"
_TAKE = f"{_IF} redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])"
_POINT = f"{_IF} redis.call('set', KEYS[2], ARGV[2])"
_ELSE = " else return 0 end"


def connect(address: Address) -> "Redis":
    """A client; user and password are the environment's where the address has none.

    Raises:
        UsageError: the address has options that the client does not know.
    """
    given = {"username": os.environ.get(_USER), "password": os.environ.get(PASSWORD)}
    keep_alive: dict[str, Any] = {} if address.local else {"socket_keepalive": True}
    try:
        return Redis.from_url(
            address.url,
            socket_timeout=_TIMEOUT_SECONDS,
            health_check_interval=30,
            client_name="nitamono-export",
            **keep_alive,
            **{name: value for name, value in given.items() if value},
        )
    except (ValueError, TypeError):
        # The message would repeat the address.
        raise UsageError(f"--to {address.shown}: redis' client can't read this address") from None


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """The server's errors become ours, without passwords.

    Raises:
        StageError: saying what to do.
    """
    try:
        yield
    except errors.RedisError as error:
        text = address.redacted(error)
        advice = AGAIN
        if isinstance(error, errors.AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
            advice = f"set {PASSWORD}, and {_USER} where there are users"
        elif isinstance(error, errors.OutOfMemoryError) or text.startswith("OOM"):
            advice = f"raise maxmemory, two versions are held at a time, and {AGAIN}"
        elif isinstance(error, errors.ReadOnlyError):
            advice = "name the primary, not a replica"
        elif isinstance(error, errors.NoPermissionError):
            advice = "the user must be allowed the keys of the prefix, INFO, SCAN and EVAL"
        # The cause would bring the address along.
        raise StageError(f"export to {address.shown} failed: {text}; {advice}") from None


def see_that_it_keeps(client: "Redis", address: Address) -> None:
    """See that the server is one, and keeps what it is given.

    Raises:
        UsageError: it is a part of a cluster.
        StageError: it would evict what it is given.
    """
    about: dict[str, Any] = client.info()
    if about.get("redis_mode") == "cluster":
        raise UsageError(
            f"--to {address.shown}: a redis cluster is not supported; name a single server"
        )
    policy = str(about.get("maxmemory_policy", ""))
    if about.get("maxmemory") and policy.startswith("allkeys"):
        raise StageError(
            f"export to {address.shown}: its maxmemory-policy {policy} removes lists without a "
            "word when memory runs out; set noeviction, or one of volatile-*"
        )


class Held:
    """A lock, by a key that expires unless it is renewed; its value tells whose it is."""

    def __init__(self, client: "Redis", key: str, token: str) -> None:
        self._client, self._key, self._token = client, key, token

    def take(self) -> None:
        """Take it; from a process of this host that is dead too.

        Raises:
            LockedError: another has it.
        """
        milliseconds = int(LOCK_SECONDS * 1000)
        if self._client.set(self._key, self._token, nx=True, px=milliseconds):
            return
        value = self._client.get(self._key)
        other = value.decode(errors="replace") if isinstance(value, bytes) else ""
        process = processes.owner(other)
        dead = process is not None and process.is_alive() is False
        if dead and self._if_held(_TAKE, other, self._token, milliseconds):
            return
        raise LockedError(
            f"another export to {self._key.rpartition(':')[0]} is under way (host "
            f"{other.partition(' ')[0]}, pid {process.pid if process else 'unknown'}); a dead "
            f"one's lock ends after {LOCK_SECONDS:.0f} s; try again later"
        )

    def beat(self, stop: threading.Event, lost: Callable[[], None]) -> None:
        """Renew it until told to stop; say so where another has taken it."""
        while not stop.wait(_BEAT_SECONDS):
            with suppress(errors.RedisError):
                if not self._if_held(_KEEP, self._token, int(LOCK_SECONDS * 1000)):
                    lost()
                    return

    def leave(self) -> None:
        """Give it back."""
        self._if_held(_LEAVE, self._token)

    def point(self, pointer: str, version: str) -> None:
        """Set a key, if the lock is still held, in one step.

        Raises:
            StageError: it is not.
        """
        if not self._client.eval(_POINT + _ELSE, 2, self._key, pointer, self._token, version):
            raise StageError(
                f"export: this export stood still for more than {LOCK_SECONDS:.0f} s and another "
                "took its lock; readers see what they saw before: run it again"
            )

    def _if_held(self, script: str, *values: str | int) -> object:
        return self._client.eval(script + _ELSE, 1, self._key, *map(str, values))


@contextmanager
def locked(client: "Redis", key: str, lost: Callable[[], None]) -> Iterator[Held]:
    """Keep other exports out.

    Args:
        client: of the server.
        key: of the lock.
        lost: is called, in a thread, when another has taken it.

    Raises:
        LockedError: another is at it.
    """
    held = Held(client, key, f"{node()} {processes.owner_tag()}")
    held.take()
    stop = threading.Event()
    beat = threading.Thread(target=held.beat, args=(stop, lost), daemon=True)
    beat.start()
    try:
        yield held
    finally:
        stop.set()
        beat.join(_TIMEOUT_SECONDS)
        with suppress(errors.RedisError):
            held.leave()
