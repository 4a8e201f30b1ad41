"""The store's lock, between real processes: held, given back, left by the dead, fought for."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LockedError, StageError
from pipeline.storage import file_owners
from pipeline.store import lock
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

HOLDER = Path(__file__).with_name("lock_holder.py")


def start(folder: Path, name: str, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.store.lock_holder", folder, name, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HOLDER.parents[3],
    )


@contextmanager
def holder(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    process = start(folder, name, "hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def write(store: Store, number: int, **changed: Any) -> Path:
    """A lock that somebody has taken."""
    path = on_disk(store.root) / "locks" / f"publishing-{number}.json"
    path.parent.mkdir(exist_ok=True)
    this = file_owners.current_process()
    content = {"holder": "run night", "host": "h", "machine": this.machine, "pid": this.pid}
    path.write_text(json.dumps({**content, "started": this.started, "since": "then", **changed}))
    return path


def test_who_holds_it_is_said(store: Store) -> None:
    with holder(on_disk(store.root), "night1") as process:
        with pytest.raises(LockedError) as raised, lock.hold_store(store, "test"):
            pass
        message = str(raised.value)
        assert f"in use by night1 (host {os.uname().nodename}, pid {process.pid}, since " in message
        assert "--wait SECONDS" in message
        assert LockedError.exit_code == 5
    assert [path.name for path in (store.root / "locks").iterdir()] == ["publishing-1.json"]


def test_one_that_waits_gets_it_when_it_is_given_back(store: Store) -> None:
    printed: list[str] = []

    def say(text: str) -> None:
        printed.append(text)
        assert process.stdin is not None
        process.stdin.close()

    with (
        holder(on_disk(store.root), "night1") as process,
        lock.hold_store(store, "test", wait=30, say=say) as held_lock,
    ):
        held_lock.check()
    assert len(printed) == 1
    assert printed[0].endswith("; waiting for it")
    with lock.hold_store(store, "again"):
        pass


def test_one_that_waits_in_vain_gives_up(store: Store) -> None:
    write(store, 1)
    started = time.monotonic()
    with pytest.raises(LockedError), lock.hold_store(store, "test", wait=0.7):
        pass
    assert 0.7 <= time.monotonic() - started < 5


def test_a_killed_holder_is_dead_though_nobody_has_waited_for_it(store: Store) -> None:
    with holder(on_disk(store.root), "night1") as process:
        process.send_signal(signal.SIGKILL)
        with lock.hold_store(store, "test", wait=5) as held_lock:
            held_lock.check()


def test_another_process_under_the_pid_of_the_holder_is_not_the_holder(store: Store) -> None:
    write(store, 7, started=file_owners.current_process().started - 1)
    with lock.hold_store(store, "test") as held_lock:
        assert held_lock.path.name == "publishing-8.json"


def test_of_another_machine_the_heartbeat_decides(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(store, 1, machine="00000000")
    with pytest.raises(LockedError), lock.hold_store(store, "test"):
        pass
    long_ago = time.time() - lock.TIMEOUT_SECONDS - 5
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    with lock.hold_store(store, "test") as held_lock:
        os.utime(on_disk(held_lock.path), (long_ago, long_ago))
        time.sleep(0.5)
        assert held_lock.path.stat().st_mtime > long_ago + 10


def test_a_lock_of_another_release_counts_by_its_heartbeat(store: Store) -> None:
    path = write(store, 1)
    path.write_text("{}")
    with pytest.raises(LockedError, match="in use by unknown"), lock.hold_store(store, "test"):
        pass


def test_one_that_has_lost_it_may_not_go_on(store: Store) -> None:
    with lock.hold_store(store, "test") as held_lock:
        other = write(store, 2)
        with pytest.raises(StageError, match="another took the store's lock"):
            held_lock.check()
    # And does not give back what is another's.
    assert "released" not in json.loads(other.read_text())


def test_one_that_slept_while_others_came_and_went_does_not_get_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, 5)
    newest, seen = lock._newest, [None]
    monkeypatch.setattr(lock, "_newest", lambda path: seen.pop() if seen else newest(path))
    with pytest.raises(LockedError), lock.hold_store(store, "test"):
        pass
    assert [path.name for path in (store.root / "locks").iterdir()] == ["publishing-5.json"]


def test_of_many_that_see_a_dead_holder_one_gets_it(store: Store) -> None:
    write(store, 1, started=1)
    names = [f"run{n}" for n in range(12)]
    running = [start(on_disk(store.root), name, "contend") for name in names]
    (store.root / "go").touch()
    for process in running:
        process.communicate(timeout=100)
    assert {process.returncode for process in running} == {-signal.SIGKILL}
    assert sorted((store.root / "log").read_text().split()) == sorted(names)
