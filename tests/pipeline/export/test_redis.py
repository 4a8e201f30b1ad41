"""Exports to a real redis."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from redis import Redis

from pipeline.errors import LockedError, StageError
from pipeline.export.redis import lock
from pipeline.export.redis.lists import lists_as_json
from tests import servers
from tests.pipeline.export.conftest import PASSWORD
from tests.pipeline.export.shops import SCHEMA, ExportResult, K, Row, Shop, make_rows, with_filled
from tests.servers import Server

ITEMS = [f"i{number:05d}" for number in range(2_000)]


@pytest.fixture
def client(redis: Server) -> "Iterator[Redis]":
    with Redis(port=redis.port, password=PASSWORD, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(redis: Server) -> str:
    return f"redis://127.0.0.1:{redis.port}/0"


def export(shop: Shop, url: str, *arguments: str) -> ExportResult:
    return shop.export("--to", url, *arguments, REDIS_PASSWORD=PASSWORD)


def read(client: "Redis", prefix: str = "similar_items") -> list[Row]:
    """The table as readers read it: by the pointer."""
    version = str(client.get(f"{prefix}:LATEST"))
    start = f"{prefix}:{version}:"
    rows: list[Row] = []
    for key in sorted(client.scan_iter(count=5_000), key=str.encode):
        if key.startswith(start):
            pairs = json.loads(str(client.get(key)))
            item = key.removeprefix(start)
            rows += [(item, rank, other, score) for rank, (other, score) in enumerate(pairs, 1)]
    return rows


def as_floats(rows: list[Row]) -> list[Row]:
    return [(*row[:3], None if row[3] is None else float(np.float32(row[3]))) for row in rows]


def test_every_list_equals_the_stores_though_files_cut_lists_in_two(
    shop: Shop, client: "Redis", url: str
) -> None:
    rows = shop.publish("v1", with_filled(make_rows(ITEMS, 1)), files=7)
    summary = export(shop, url, "--json").json()
    assert as_floats(read(client)) == rows
    assert (summary["rows"], summary["items"]) == (len(rows), len(ITEMS))
    assert client.get("similar_items:v1:i00007") == (
        '[["i00007-1-1",0.061523438],["i00007-1-2",0.060546875],["i00007-1-3",0.059570312],'
        '["i00007-1-4",0.05859375],["i00007-1-5",0.057617188],["i00007-1-6",0.056640625],'
        '["i00007-1-7",0.055664062],["i00007-1-8",0.0546875],["i00007-1-9",0.053710938],'
        '["i00007-1-10",0.052734375]]'
    )


def test_lists_longer_and_shorter_than_files_are_complete(
    shop: Shop, client: "Redis", url: str
) -> None:
    rows = make_rows(["a", "b"], 1, k=9) + make_rows(["c"], 1, k=1) + make_rows(["d"], 1, k=4)
    shop.publish("v1", rows, files=12)
    assert export(shop, url).code == 0
    assert as_floats(read(client)) == rows


def test_odd_ids_arrive_as_they_are(shop: Shop, client: "Redis", url: str) -> None:
    odd = [
        "",
        " ",
        'a"b',
        "a\\b",
        "a\tb",
        "a\r\nb",
        "nul\0",
        "a:b",
        "似たもの",
        "😀",
        "\u2028",
        "*",
    ]
    rows = shop.publish("v1", make_rows(odd, 1, k=3), files=3)
    assert export(shop, url, "--prefix", "shop*[1]:odd").code == 0
    assert as_floats(read(client, "shop*[1]:odd")) == rows


def test_readers_always_get_a_complete_list_of_one_version(
    shop: Shop, client: "Redis", redis: Server, url: str
) -> None:
    shop.publish("v1", make_rows(ITEMS, 1), files=3)
    assert export(shop, url).code == 0
    reads: list[tuple[int, int]] = []
    failed: list[str] = []
    stop = threading.Event()

    def poll() -> None:
        pool = Redis(port=redis.port, password=PASSWORD, decode_responses=True)
        while not stop.is_set():
            version = str(pool.get("similar_items:LATEST"))
            for item in ITEMS[:: len(ITEMS) // 20]:
                # As a reader does that has fetched the pointer a while ago.
                value = pool.get(f"similar_items:{version}:{item}")
                pairs = json.loads(str(value)) if value else []
                others = {other.split("-")[1] for other, _ in pairs}
                if len(pairs) != K or others != {version[1:]}:
                    failed.append(f"{version} {item}: {value!r}")
                reads.append((int(version[1:]), len(pairs)))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for version in (2, 3, 4):
            shop.publish(f"v{version}", make_rows(ITEMS, version), files=5)
            result = export(shop, url)
            assert result.code == 0, result.error
    finally:
        stop.set()
        reader.join()
    assert not failed
    assert {version for version, _ in reads} >= {2, 3}


def test_the_previous_version_stays_until_the_next_export(
    shop: Shop, client: "Redis", url: str
) -> None:
    client.set("similar_items:V", "another's")
    for version in (1, 2, 3):
        shop.publish(f"v{version}", make_rows(ITEMS[:9], version))
        assert export(shop, url).code == 0
    left = {key.rpartition(":")[0] for key in client.scan_iter("similar_items:v*")}
    assert left == {"similar_items:v2", "similar_items:v3"}
    assert client.get("similar_items:V") == "another's"
    # Back to that version: its lists are there.
    summary = export(shop, url, "--version", "v2", "--json").json()
    assert summary["files_copied"] == 0
    assert as_floats(read(client)) == make_rows(ITEMS[:9], 2)


def seconds_left(client: "Redis", version: str) -> set[int]:
    return {int(str(client.ttl(key))) for key in client.scan_iter(f"similar_items:{version}:*")}


def test_the_previous_version_can_expire(shop: Shop, client: "Redis", url: str) -> None:
    for version in (1, 2):
        shop.publish(f"v{version}", make_rows(ITEMS[:9], version))
        assert export(shop, url, "--keep-seconds", "500").code == 0
    assert {400 < client.ttl(key) <= 500 for key in client.scan_iter("similar_items:v1:*")} == {
        True
    }
    assert {client.ttl(key) for key in client.scan_iter("similar_items:v2:*")} == {-1}
    assert client.smembers("similar_items:VERSIONS") == {"v2"}
    # A version that expires is not continued.
    assert export(shop, url, "--version", "v1", "--json").json()["files_copied"] == 1
    assert seconds_left(client, "v1") == {-1}


def test_a_killed_export_leaves_the_old_version_and_the_next_continues(
    shop: Shop, client: "Redis", url: str
) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, url).code == 0
    new = shop.publish("v2", make_rows(ITEMS, 2), files=150)
    process = shop.start("--to", url, "--jobs", "1", REDIS_PASSWORD=PASSWORD)
    _wait_for_files(client, "v2", 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert as_floats(read(client)) == old
    done = client.hlen("similar_items:PROGRESS:v2") - 1
    assert 5 <= done < 150
    # A file that is done is not written again: a list that is changed meanwhile stays so.
    middle = "similar_items:v2:i00020"
    client.set(middle, "[]")
    summary = export(shop, url, "--json").json()
    assert summary["files_copied"] == 150 - done
    assert client.get(middle) == "[]"
    rest = [row for row in new if row[0] != "i00020"]
    assert as_floats(read(client)) == rest


def test_two_at_once_are_kept_apart(shop: Shop, client: "Redis", url: str) -> None:
    rows = shop.publish("v1", make_rows(ITEMS, 1), files=120)
    process = shop.start("--to", url, "--jobs", "1", REDIS_PASSWORD=PASSWORD)
    _wait_for_files(client, "v1", 1)
    second = export(shop, url)
    assert second.code == 5
    assert "another export to similar_items is under way (host " in second.last_line
    assert f"pid {process.pid})" in second.last_line
    assert process.communicate()[0]
    assert process.returncode == 0
    assert as_floats(read(client)) == rows


def test_an_export_that_has_lost_its_lock_does_not_move_the_pointer(
    shop: Shop, client: "Redis", url: str
) -> None:
    shop.publish("v1", make_rows(ITEMS, 1), files=120)
    process = shop.start("--to", url, "--jobs", "1", REDIS_PASSWORD=PASSWORD)
    _wait_for_files(client, "v1", 1)
    client.set("similar_items:LOCK", "another's")
    _, error = process.communicate()
    assert process.returncode == 5
    assert "another took its lock" in error
    assert client.get("similar_items:LATEST") is None
    assert client.get("similar_items:LOCK") == "another's"


@pytest.fixture
def bytes_client(redis: Server, client: "Redis") -> "Iterator[Redis]":
    """A client as exports use it; the server is empty."""
    with Redis(port=redis.port, password=PASSWORD) as client_of_bytes:
        yield client_of_bytes


def test_the_lock_is_renewed_and_its_loss_is_noticed(
    client: "Redis", bytes_client: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_RENEWAL_SECONDS", 0.05)
    lost = threading.Event()
    with lock.hold_lock(bytes_client, "shop:LOCK", lost.set) as export_lock:
        client.expire("shop:LOCK", 5)
        _wait_until(lambda: int(str(client.ttl("shop:LOCK"))) > 5)
        export_lock.set_pointer("shop:LATEST", "v1")
        assert not lost.is_set()
        client.set("shop:LOCK", "another's")
        assert lost.wait(60)
        with pytest.raises(StageError, match="another took its lock"):
            export_lock.set_pointer("shop:LATEST", "v2")
    assert client.get("shop:LATEST") == "v1"
    assert client.get("shop:LOCK") == "another's"


def test_the_lock_of_a_dead_process_is_taken_and_of_an_unknown_one_is_not(
    client: "Redis", bytes_client: "Redis"
) -> None:
    with lock.hold_lock(bytes_client, "shop:LOCK", lambda: None):
        token = str(client.get("shop:LOCK"))
        with pytest.raises(LockedError, match=rf"export to shop .*, pid {os.getpid()}\)"):
            lock.ExportLock(bytes_client, "shop:LOCK")
    assert client.get("shop:LOCK") is None
    # Same machine, but no process has this start time; then another machine.
    machine, pid, start, suffix = token.rsplit("-", 3)
    client.set("shop:LOCK", f"{machine}-{pid}-{int(start) + 1}-{suffix}")
    lock.ExportLock(bytes_client, "shop:LOCK").release()
    client.set("shop:LOCK", f"elsewhere 00000000-{pid}-{start}-{suffix}")
    with pytest.raises(LockedError, match=rf"host elsewhere, pid {pid}\)"):
        lock.ExportLock(bytes_client, "shop:LOCK")


def test_lists_that_differ_from_the_stores_are_not_published(
    shop: Shop, client: "Redis", url: str
) -> None:
    old = shop.publish("v1", make_rows(ITEMS[:50], 1))
    assert export(shop, url).code == 0
    shop.publish("v2", make_rows(ITEMS[:50], 2))
    assert export(shop, url).code == 0
    assert export(shop, url, "--version", "v1").code == 0
    client.set("similar_items:v2:i00003", "[]")
    result = export(shop, url)
    assert result.code == 5
    assert "1 of 49 lists read back are others" in result.last_line
    assert as_floats(read(client)) == old
    assert export(shop, url, "--json").json()["files_copied"] == 1
    assert as_floats(read(client)) == make_rows(ITEMS[:50], 2)


def test_out_of_memory_is_an_error_and_nothing_is_evicted(shop: Shop) -> None:
    rows = make_rows(ITEMS, 1)
    shop.publish("v1", rows, files=3)
    with servers.redis("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru") as server:
        url = f"redis://127.0.0.1:{server.port}"
        result = shop.export("--to", url)
        assert (result.code, "maxmemory-policy allkeys-lru" in result.last_line) == (5, True)
        with Redis(port=server.port) as client:
            assert client.dbsize() == 0
            client.config_set("maxmemory-policy", "noeviction")
            result = shop.export("--to", url)
            assert (result.code, "raise maxmemory" in result.last_line) == (5, True)
            assert client.get("similar_items:LATEST") is None
            client.config_set("maxmemory", "100mb")
            assert shop.export("--to", url).code == 0


def test_a_cluster_is_refused(shop: Shop) -> None:
    shop.publish("v1", make_rows(ITEMS[:5], 1))
    with servers.redis("--cluster-enabled", "yes") as server:
        result = shop.export("--to", f"unix://{server.folder}/socket")
    assert (result.code, "a redis cluster is not supported" in result.last_line) == (2, True)


def test_the_password_is_shown_nowhere(shop: Shop, url: str, client: "Redis") -> None:
    shop.publish("v1", make_rows(ITEMS[:50], 1))
    secret = url.replace("//", "//:geheim-42%25%2F%40@")
    texts = []
    for code, target, environment in (
        (2, secret, {}),
        (2, f"{url}?password=geheim", {}),
        (5, url, {"REDIS_PASSWORD": "falsch-99"}),
        (5, url, {}),
        (0, "env:SHOP_REDIS", {"SHOP_REDIS": secret}),
    ):
        result = shop.export("--to", target, **environment)
        assert result.code == code, result.error
        texts += [result.out, result.error]
        if code == 5:
            assert "set REDIS_PASSWORD" in result.last_line
    keys: Any = client.keys("*:LOCK") + client.keys("*:PROGRESS:*")
    texts += [*map(str, keys), *map(str, client.hgetall("similar_items:PROGRESS:v1").items())]
    assert not [text for text in texts if "geheim" in text or "falsch-99" in text]


def _wait_for_files(client: "Redis", version: str, count: int) -> None:
    progress = f"similar_items:PROGRESS:{version}"
    _wait_until(lambda: int(str(client.hlen(progress))) > count)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


def test_what_fills_a_list_has_the_score_null() -> None:
    rows = with_filled(make_rows(["i2", "i3"], 1, k=3))
    table = pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA)
    items, values = lists_as_json(table)
    lists = dict(zip(items, map(json.loads, values), strict=True))
    assert [score is None for _, score in lists["i2"]] == [False, False, False]
    assert lists["i3"] == [["i3-1-1", lists["i2"][0][1]], ["i3-1-2", None], ["i3-1-3", None]]
