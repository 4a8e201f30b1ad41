"""The lock that keeps two exports to one prefix apart: redis-py's Lock, renewed in a thread.

redis-py's Lock takes, renews and releases the key, each only for the token that holds it. What it
lacks is here: its token names the holder, the lock of a dead process of this host is taken at once,
and the pointer is set only while the lock is held.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from platform import node

from redis import Redis
from redis.exceptions import LockNotOwnedError, RedisError
from redis.lock import Lock

from pipeline.errors import LockedError, StageError
from pipeline.export.redis.keys import as_text
from pipeline.export.redis.server import TIMEOUT_SECONDS
from pipeline.storage import file_owners

LOCK_SECONDS = 60.0
_RENEWAL_SECONDS = LOCK_SECONDS / 4
# KEYS: the lock and the pointer; ARGV: the lock's token and the version. In one step, so that no
# other export can take the lock between the check and the change.
_SET_POINTER = """
    if redis.call('get', KEYS[1]) ~= ARGV[1] then
        return 0
    end
    redis.call('set', KEYS[2], ARGV[2])
    return 1
"""


class ExportLock:
    """A lock that is held: a key that expires unless it is renewed."""

    def __init__(self, client: Redis, key: str) -> None:
        """Take the lock.

        Raises:
            LockedError: another export holds it.
        """
        self._key = key
        self._token = f"{node()} {file_owners.owner_tag()}"
        # The renewing thread must see the token too.
        self._lock = Lock(client, key, timeout=LOCK_SECONDS, thread_local=False)
        self._set_pointer = client.register_script(_SET_POINTER)
        if not self._acquire():
            holder = as_text(client.get(key))
            process = file_owners.owner(holder)
            if process is None or process.is_alive() is not False:
                raise self._locked_error(holder)
            # It changes nothing if another export has taken the dead holder's lock meanwhile.
            with suppress(LockNotOwnedError):
                self._lock.do_release(holder)
            if not self._acquire():
                raise self._locked_error(as_text(client.get(key)))
        # A user that may not run scripts is told now, not after the export.
        self._lock.reacquire()

    def _acquire(self) -> bool:
        return bool(self._lock.acquire(blocking=False, token=self._token))

    def _locked_error(self, holder: str) -> LockedError:
        process = file_owners.owner(holder)
        return LockedError(
            f"another export to {self._key.rpartition(':')[0]} is under way (host "
            f"{holder.partition(' ')[0]}, pid {process.pid if process else 'unknown'}); a dead "
            f"one's lock ends after {LOCK_SECONDS:.0f} s; try again later"
        )

    def renew(self, stop: threading.Event, on_loss: Callable[[], None]) -> None:
        """Renew the lock until `stop` is set; call `on_loss` if another export has taken it."""
        while not stop.wait(_RENEWAL_SECONDS):
            try:
                self._lock.reacquire()
            except LockNotOwnedError:
                on_loss()
                return
            except RedisError:
                # The server may be back at the next renewal, before the lock expires.
                continue

    def release(self) -> None:
        """Release the lock, unless another export has taken it."""
        with suppress(RedisError):
            self._lock.release()

    def set_pointer(self, pointer: str, version: str) -> None:
        """Set a key to a version, if the lock is still held, in one step.

        Raises:
            StageError: the lock is lost.
        """
        if not self._set_pointer(keys=[self._key, pointer], args=[self._token, version]):
            raise StageError(
                f"export: this export stood still for more than {LOCK_SECONDS:.0f} s and another "
                "took its lock; readers see what they saw before: run it again"
            )


@contextmanager
def hold_lock(client: Redis, key: str, on_loss: Callable[[], None]) -> Iterator[ExportLock]:
    """Hold the lock, renewed in a thread.

    Args:
        client: a client of the server.
        key: key of the lock.
        on_loss: is called in the renewing thread when another export has taken the lock.

    Raises:
        LockedError: another export holds it.
    """
    lock = ExportLock(client, key)
    stop = threading.Event()
    renewal = threading.Thread(target=lock.renew, args=(stop, on_loss), daemon=True)
    renewal.start()
    try:
        yield lock
    finally:
        stop.set()
        renewal.join(TIMEOUT_SECONDS)
        lock.release()
